"""Several processes on one Redis: what one does counts for all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import anyio
import anyio.lowlevel
import pytest

from tta_messages import (
    Delivery,
    Filter,
    MessagesError,
    QueueSettings,
)
from tta_messages.testing import Note, note
from tta_messages_redis import RedisMessages, layout
from tta_redis import connect
from tta_redis.testing import PATIENT, RedisServer, redis_server

OpenRedis = Callable[..., AbstractAsyncContextManager[RedisMessages]]


def texts(deliveries: Sequence[Delivery]) -> list[str]:
    return [delivery.message.decode(Note).text for delivery in deliveries]


async def test_a_subscription_elsewhere_counts_from_the_next_publish_on(
    shared_redis: RedisServer, open_on: OpenRedis
) -> None:
    where = shared_redis.config()
    async with open_on(where) as a, open_on(where) as b:
        for _ in range(10):
            assert list(await a.publish(note("x"))) == []
            subscription = await b.subscribe("q", Filter())
            assert len(await a.publish(note("x"))) == 1
            await b.unsubscribe(subscription.id)


async def test_settings_changed_elsewhere_count_here(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    where = shared_redis.config()
    async with open_on(where) as a, open_on(where) as b:
        await a.send(note("x"))
        await b.configure("q", QueueSettings(max_length=1))
        assert [r.error for r in await a.send(note("y"))] == ["queue_full"]


async def test_what_a_vanished_process_held_comes_to_others(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    where = shared_redis.config()
    program = f"""
import anyio
import anyio.lowlevel
from tta_messages import MessagesConfig
from tta_messages.testing import TYPES
from tta_messages_redis import open_messages
from tta_redis import Config as RedisConfig, connect

async def main():
    async with connect(RedisConfig(url={where.url!r}, prefix={where.prefix!r}, **{PATIENT})) as redis:
        async with open_messages(redis, MessagesConfig(), TYPES) as m:
            held = await m.receive("q", limit=3, wait=10, visibility=0.3)
            print(len(held), flush=True)
            await anyio.sleep_forever()

anyio.run(main)
"""
    async with open_on(where) as m:
        await m.send(*(note(text) for text in "abc"))
        async with await anyio.open_process([sys.executable, "-c", program]) as process:
            assert process.stdout is not None
            with anyio.fail_after(30):
                assert (await process.stdout.receive()).startswith(b"3")
            assert not await m.receive("q")
            process.kill()
        held = [delivery for _ in range(3) for delivery in await m.receive("q", limit=1, wait=5.0)]
        assert (texts(held), {d.attempt for d in held}) == (list("abc"), {2})


async def test_many_queues_are_looked_at_and_one_that_fails_is_one_error(open_on: OpenRedis) -> None:
    with redis_server(own=True) as server:
        where = server.config()
        async with connect(where) as redis, open_on(where) as m:
            names = [f"q{number:03}" for number in range(100)]
            await m.broadcast(note("to all"), names)
            found = await m.stats()
            assert list(found) == names
            assert {stats.waiting["normal"] for stats in found.values()} == {1}
            newer = (layout.MARK + 1).to_bytes(4)
            await redis.execute("HSET", redis.key("messages", "queue", tag="q050"), "state", newer)
            with pytest.raises(MessagesError, match=r"\{q050\}:queue has storage version 2"):
                await m.stats()
