"""Receivers that wait: woken, or handed what is sent, wherever they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tta_messages import (
    Delivery,
    Messages,
    MessagesConfig,
)
from tta_messages.testing import TYPES, Note, note
from tta_messages.testing.common import until
from tta_messages_redis import RedisMessages, open_messages
from tta_redis import Redis, Signal, connect
from tta_redis.testing import RedisServer, redis_server

OpenRedis = Callable[..., AbstractAsyncContextManager[RedisMessages]]


def texts(deliveries: Sequence[Delivery]) -> list[str]:
    return [delivery.message.decode(Note).text for delivery in deliveries]


async def scripts_run(where: RedisServer) -> int:
    info = where.command("INFO", "commandstats")
    return int(info.get("cmdstat_evalsha", {}).get("calls", 0))


async def warm_up(m: RedisMessages) -> None:
    """Have a queue that is in use, and empty, so that sends take the fast path."""
    await m.send(note("before"))
    await m.ack(*await m.receive("q", limit=10))


async def waiting(redis: Redis, count: int = 1) -> None:
    """Wait until so many receivers wait."""

    async def look() -> bool:
        return bool(await redis.execute("SCARD", redis.key("messages", "idle", tag="q")) == count)

    await until(look)


async def test_a_receiver_elsewhere_is_called_not_asking(open_on: OpenRedis) -> None:
    with redis_server(own=True) as server:
        where = server.config()
        async with connect(where) as redis, open_on(where) as one, open_on(where) as other:
            spans = []
            for n in range(5):

                async def send(n: int = n) -> None:
                    await waiting(redis)
                    await other.send(note(str(n), sender=repr(anyio.current_time())))

                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(send)
                    (held,) = await one.receive("q", wait=10.0)
                    spans.append(anyio.current_time() - float(held.message.sender))
                await one.ack(held)
            # Looking from time to time would take half a second on average.
            assert sorted(spans)[2] < 0.1


async def test_of_many_that_wait_enough_wake(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    where = shared_redis.config()
    async with connect(where) as redis, open_on(where) as a, open_on(where) as b, open_on(where) as c:
        got: list[str] = []

        async def receive(m: Messages) -> None:
            got.extend(texts(list(await m.receive("q", wait=10.0))))

        async with anyio.create_task_group() as tasks:
            for m in (a, a, b, b, c, c):
                tasks.start_soon(receive, m)
            await waiting(redis, 6)
            await a.send(*(note(str(n)) for n in range(6)))
        assert sorted(got) == [str(n) for n in range(6)]


async def test_a_call_that_comes_too_late_is_passed_on(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    where = shared_redis.config()
    async with connect(where) as redis, open_on(where) as a, open_on(where) as b:
        got: list[str] = []

        async def receive() -> None:
            got.extend(texts(list(await b.receive("q", wait=10.0))))

        # Both are known to wait, and one doesn't any more.
        for _ in range(3):
            assert not await a.receive("q", wait=0.02)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(receive)
            await waiting(redis)
            await b.send(note("x"))
        assert got == ["x"]


async def test_a_cancelled_receive_gives_back_at_once_what_it_got(
    shared_redis: RedisServer, open_on: OpenRedis
) -> None:
    async with open_on(shared_redis.config()) as m:
        await m.send(*(note(str(n)) for n in range(20)))
        # The first time, the server has to be sent the script, and is overtaken: the order holds from then on.
        await m.release(*await m.receive("q"))
        for _ in range(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(m.receive, "q")
                await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        await m.settled()
        held = await m.receive("q", limit=20)
        assert texts(list(held)) == [str(n) for n in range(20)]
        assert {d.attempt for d in held} == {1}


async def test_what_is_sent_while_somebody_waits_is_handed_over(open_on: OpenRedis) -> None:
    with redis_server(own=True) as server:
        where = server.config()
        async with connect(where) as redis, open_on(where) as m, open_on(where) as other:
            await warm_up(m)
            await warm_up(m)
            got: list[list[str]] = []

            async def receive() -> None:
                held = list(await other.receive("q", limit=2, wait=20.0))
                assert {(d.attempt, d.last_error) for d in held} == {(1, "")}
                got.append(texts(held))
                assert await other.ack(*held) == [True] * len(held)

            async with anyio.create_task_group() as tasks:
                for _ in range(2):
                    tasks.start_soon(receive)
                await waiting(redis, 2)
                before = await scripts_run(server)
                await m.send(*(note(text) for text in "abcde"))
                assert await scripts_run(server) - before == 1
                assert await redis.execute("SCARD", redis.key("messages", "idle", tag="q")) == 0
            assert sorted(got) == [["a", "b"], ["c", "d"]]
            assert texts(list(await m.receive("q", limit=9))) == ["e"]
            stats = (await m.stats("q"))["q"]
            assert (stats.delivered, stats.acknowledged, stats.held) == (7, 6, 1)
            assert [step.what for step in await m.history("q", limit=5)] == [
                "delivered", "acknowledged", "acknowledged", "delivered", "sent",
            ]  # fmt: skip


@pytest.mark.parametrize("who", ["gone", "waits no more", "nonsense"])
async def test_what_nobody_takes_is_handed_over_to_nobody(
    shared_redis: RedisServer, open_on: OpenRedis, who: str
) -> None:
    where = shared_redis.config()
    async with connect(where) as redis, open_on(where) as m:
        await warm_up(m)
        idle = redis.key("messages", "idle", tag="q")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(m.receive, "q", wait=20.0))
            await waiting(redis)
            (entry,) = await redis.execute("SMEMBERS", idle)
            tasks.cancel_scope.cancel()
        await m.settled()
        process = {"gone": "deadbeef0000", "waits no more": entry[:12].decode(), "nonsense": "?"}[who]
        await redis.execute("SADD", idle, f"{process} 000000000000 5 -")
        await m.send(note("a"))
        (held,) = await m.receive("q", wait=5.0)
        assert (texts([held]), held.attempt, held.last_error) == (["a"], 1, "")
        assert (await m.stats("q"))["q"].held == 1


class Forgetful:
    """A client that loses what its channel brings first, with the connection, as it says."""

    def __init__(self, redis: Redis) -> None:
        self._redis, self.lost = redis, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._redis, name)

    def subscribe(self, *channels: str, callback: Callable[[Signal | None], None]) -> Any:
        def heard(signal: Signal | None) -> None:
            first, self.lost = not self.lost, True
            callback(None if first else signal)

        return self._redis.subscribe(*channels, callback=heard)


async def test_whoever_may_have_missed_what_it_was_handed_gives_it_back(shared_redis: RedisServer) -> None:
    async with connect(shared_redis.config()) as redis:
        forgetful = Forgetful(redis)
        async with open_messages(forgetful, MessagesConfig(), TYPES) as m:  # type: ignore[arg-type]
            await warm_up(m)
            got: list[Delivery] = []

            async def receive() -> None:
                got.extend(await m.receive("q", wait=20.0))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(receive)
                await waiting(redis)
                await m.send(note("a"))
            assert forgetful.lost
            assert (texts(got), got[0].attempt, got[0].last_error) == (["a"], 1, "")


async def test_who_is_cancelled_while_it_is_called_loses_nothing(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    where = shared_redis.config()
    async with connect(where) as redis, open_on(where) as m, open_on(where) as other:
        await warm_up(m)
        for n in range(30):
            got: list[Delivery] = []

            async def receive(got: list[Delivery] = got) -> None:
                got.extend(await other.receive("q", wait=20.0))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(receive)
                await waiting(redis)
                await m.send(note(str(n)))
                for _ in range(n):  # At another moment each time.
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            held = got or list(await m.receive("q", wait=5.0))
            assert (texts(held), held[0].attempt) == ([str(n)], 1)
            await m.ack(*held)
            await other.settled()
