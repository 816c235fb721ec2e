"""What must not grow, take long or be overlooked, however a queue is used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest

from tta_messages import MessagesConfig, MessagesError, Priority, QueueSettings
from tta_messages.testing import Note, note
from tta_messages.testing.common import until
from tta_messages_redis import RedisMessages
from tta_redis import Redis, connect
from tta_redis.testing import RedisServer, redis_server

OpenRedis = Callable[..., AbstractAsyncContextManager[RedisMessages]]
SETTINGS = MessagesConfig(defaults=QueueSettings(max_length=10_000, dead_limit=10))


@pytest.fixture
async def both(shared_redis: RedisServer, open_on: OpenRedis) -> AsyncIterator[tuple[Redis, RedisMessages]]:
    where = shared_redis.config()
    async with connect(where) as redis, open_on(where, SETTINGS) as messages:
        await warm_up(messages)
        yield redis, messages


async def warm_up(m: RedisMessages) -> None:
    """See to it that sends and receives take the fast path from now on."""
    for _ in range(2):
        await m.send(note("before"))
        await m.ack(*await m.receive("q"))


async def see_only(m: RedisMessages, count: int) -> None:
    """Wait until no more than that wait."""

    async def look() -> bool:
        return (await m.stats("q"))["q"].waiting["normal"] <= count

    await until(look)


@pytest.mark.parametrize("how", ["expired", "cancelled", "forgotten"])
async def test_where_nobody_receives_nothing_is_left_of_what_has_gone(
    both: tuple[Redis, RedisMessages], how: str
) -> None:
    redis, m = both
    order = []
    for number in range(12):
        many = [note("gone", owner="u", ttl=0.001 if how == "expired" else None) for _ in range(100)]
        results = await m.send(*many)
        await m.send(note(f"{number}a"), note(f"{number}b"))
        await m.send(note(f"{number}c", priority=Priority.HIGH))
        order += [f"{number}a", f"{number}b"]
        if how == "expired":
            await see_only(m, len(order))
        elif how == "forgotten":
            assert await m.forget("u") == 100
        else:
            assert all([await m.cancel("q", result.id) for result in results])
    waiting, info = redis.key("messages", "normal", tag="q"), redis.key("messages", "info", tag="q")
    assert await redis.execute("LLEN", waiting) < 24 + 400
    assert await redis.execute("HLEN", info) < 400
    assert (await m.stats("q"))["q"].waiting == {"high": 12, "normal": 24, "low": 0}
    held = await m.receive("q", limit=100)
    high = [f"{number}c" for number in range(12)]
    assert [delivery.message.decode(Note).text for delivery in held] == high + order
    assert await m.ack(*held) == [True] * 36
    assert await m.receive("q") == []
    assert await redis.execute("EXISTS", waiting, info) == 0


async def test_redis_without_memory_takes_nothing_more_and_gives_back_what_it_has(open_on: OpenRedis) -> None:
    with redis_server(own=True) as server:
        async with open_on(server.config(), SETTINGS) as m:
            await warm_up(m)
            await m.send(*(note("x" * 1000) for _ in range(10)))
            held = await m.receive("q", limit=5)
            used = int(server.command("INFO", "memory")["used_memory"])
            limit = used + 1_000_000
            server.command("CONFIG", "SET", "maxmemory", limit)
            accepted = 10
            refused: list[str] = []
            fields: Sequence[dict[str, Any]] = [{}, {"ttl": 60.0}, {"delay": 60.0}, {"ttl": 0.001}]
            for number in range(400):
                for size in (1, 5):
                    # Any failure is one of all that the call has sent.
                    before = (await m.stats("q"))["q"].sent
                    messages = [note("x" * 10_000, **fields[number % 4]) for _ in range(size)]
                    try:
                        await m.send(*messages)
                    except MessagesError as exc:
                        refused.append(str(exc))
                    else:
                        accepted += size
                    assert (await m.stats("q"))["q"].sent - before in (0, size)
            assert len(refused) > 100
            assert all("OOM" in error for error in refused)
            assert int(server.command("INFO", "memory")["used_memory"]) < limit + 500_000
            assert (await m.stats("q"))["q"].sent == accepted + 2
            assert await m.ack(*held) == [True] * 5
            (one,) = await m.receive("q")
            assert await m.release(one) == [True]
            while got := await m.receive("q", limit=10):
                await m.ack(*got)
            assert [result.error for result in await m.send(note("y" * 1000))] == [""]


async def test_many_holds_that_run_out_together_hold_nobody_up(both: tuple[Redis, RedisMessages]) -> None:
    _, m = both
    sent = [f"{number}" for number in range(3000)]
    for start in range(0, 3000, 1000):
        await m.send(*(note(text) for text in sent[start : start + 1000]))
    for _ in range(3):
        await m.receive("q", limit=1000, visibility=1.0)

    async def first() -> Sequence[Any]:
        return await m.receive("q")

    (one,) = await until(first)
    assert (await m.stats("q"))["q"].recovered <= 2000  # By two scripts.
    await m.ack(one)

    async def all_are_back() -> bool:
        await m.recover("q")
        return (await m.stats("q"))["q"].recovered == 3000

    await until(all_are_back)
    assert (await m.stats("q"))["q"].waiting["normal"] == 2999


async def test_who_is_forgotten_is_found_whatever_goes_on_meanwhile(
    both: tuple[Redis, RedisMessages], shared_redis: RedisServer, open_on: OpenRedis
) -> None:
    _, m = both
    calls = [[note("a"), note("b", owner="u"), note("c")] for _ in range(1500)]
    sent = [[result.id for result in await m.send(*messages)] for messages in calls]

    async with open_on(shared_redis.config(), SETTINGS) as other, anyio.create_task_group() as tasks:

        async def meanwhile() -> None:
            while sent:
                await other.cancel("q", sent.pop()[0])

        tasks.start_soon(meanwhile)
        assert await m.forget("u") == 1500
        tasks.cancel_scope.cancel()
    owners: set[str] = set()
    while held := await m.receive("q", limit=1000):
        owners |= {delivery.message.owner for delivery in held}
    assert owners == {""}


PARTS = ("high", "normal", "low", "lease", "delayed", "ttl", "dead", "letters", "info")


@pytest.mark.parametrize("part", PARTS)
async def test_what_was_acknowledged_is_said_to_be_whatever_is_foreign(
    both: tuple[Redis, RedisMessages], part: str
) -> None:
    redis, m = both
    await m.send(*(note(text) for text in "abcd"))
    held = await m.receive("q", limit=4)
    await m.nack(held[3], delay=60.0)  # From now on there is more to look at.
    held = held[:3]
    await redis.execute("SET", redis.key("messages", part, tag="q"), "what is this?")
    results = await m.ack(*held[:2])
    assert results == [True] * 2
    assert (await m.stats("q"))["q"].acknowledged == 2 + 2
    assert [step.ids for step in await m.history("q", limit=1) if step.what == "acknowledged"] == [
        tuple(delivery.message.id for delivery in held[:2])
    ]


async def test_what_cannot_be_handed_over_waits_and_is_held_by_nobody(both: tuple[Redis, RedisMessages]) -> None:
    redis, m = both
    await redis.execute("SADD", redis.key("messages", "idle", tag="q"), f"{'a' * 12} {'b' * 12} 3 -")
    await redis.execute("SET", redis.key("messages", "lease", tag="q"), "what is this?")
    await m.send(*(note(text) for text in "abc"))
    held = await m.receive("q", limit=9)
    seen = [(delivery.message.decode(Note).text, delivery.attempt) for delivery in held]
    assert seen == [
        ("a", 1), ("b", 1), ("c", 1),
    ]  # fmt: skip
    assert await m.ack(*held) == [True] * 3
    assert await redis.execute("HKEYS", redis.key("messages", "holds", tag="q")) == [b" "]
