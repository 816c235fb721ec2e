"""What one call has sent is kept together, and nobody can tell but by what it costs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import anyio
import pytest

from tta_messages import Delivery, QueueSettings, Settled
from tta_messages.testing import Note, note
from tta_messages_redis import Config, RedisMessages
from tta_redis import Redis, connect
from tta_redis.testing import RedisServer

OpenRedis = Callable[..., AbstractAsyncContextManager[RedisMessages]]
SETTINGS = Config(defaults=QueueSettings(max_length=30))


@pytest.fixture
async def both(shared_redis: RedisServer, open_on: OpenRedis) -> AsyncIterator[tuple[Redis, RedisMessages]]:
    where = shared_redis.config()
    async with connect(where) as redis, open_on(where, SETTINGS) as messages:
        for _ in range(2):  # From then on sends and receives take the quick way.
            await messages.send(note("before"))
            await messages.ack(*await messages.receive("q"))
        yield redis, messages


def texts(deliveries: list[Delivery]) -> list[str]:
    return [delivery.message.decode(Note).text for delivery in deliveries]


async def fields(redis: Redis, m: RedisMessages) -> int:
    found: int = await redis.execute("HLEN", m._queue("q").keys.all[1])
    return found


async def send(m: RedisMessages, names: str) -> list[str]:
    results = await m.send(*(note(name) for name in names))
    assert {(result.error, result.duplicate) for result in results} == {("", False)}
    return [result.id for result in results]


async def check_empty(redis: Redis, m: RedisMessages) -> None:
    """See that nothing is left, nor thought to be left."""
    assert await fields(redis, m) == 0
    stats = (await m.stats("q"))["q"]
    assert (sum(stats.waiting.values()), stats.held, stats.delayed) == (0, 0, 0)
    assert [result.error for result in await m.send(*(note() for _ in range(31)))] == [""] * 30 + ["queue_full"]
    assert await m.purge("q") == 30


async def test_a_call_is_kept_in_one_field_from_its_sending_to_its_acknowledgement(
    both: tuple[Redis, RedisMessages],
) -> None:
    redis, m = both
    await send(m, "abcde")
    await send(m, "fgh")
    assert await fields(redis, m) == 2
    assert (await m.stats("q"))["q"].waiting["normal"] == 8
    held = list(await m.receive("q", limit=8))
    assert texts(held) == list("abcdefgh")
    assert (await m.stats("q"))["q"].held == 8
    assert await fields(redis, m) == 2
    assert await m.ack(*held) == [True] * 8
    assert (await m.stats("q"))["q"].acknowledged == 10
    await check_empty(redis, m)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7, 30])
async def test_a_limit_cuts_where_it_must(both: tuple[Redis, RedisMessages], limit: int) -> None:
    redis, m = both
    for names in ("abcde", "f", "gh", "ijklm", "n"):
        await send(m, names)
    done: list[Delivery] = []
    got: list[str] = []
    while done := list(await m.receive("q", limit=limit, done=done)):
        assert len(done) <= limit
        got += texts(done)
    assert got == list("abcdefghijklmn")
    await check_empty(redis, m)


async def test_all_of_them_count_for_the_bound(both: tuple[Redis, RedisMessages]) -> None:
    redis, m = both
    for _ in range(5):
        await send(m, "abcde")
    assert [result.error for result in await m.send(*(note() for _ in range(7)))] == [""] * 5 + ["queue_full"] * 2
    assert await m.purge("q") == 30
    await check_empty(redis, m)


@pytest.mark.parametrize(
    "what", ["nack", "dead", "release", "extend", "ack", "cancel", "cancel waiting", "forget", "expire", "abandon"]
)
async def test_what_happens_to_one_happens_to_no_other(both: tuple[Redis, RedisMessages], what: str) -> None:
    redis, m = both
    results = await m.send(*(note(name, owner="u" if name == "c" else "") for name in "abcde"))
    held: list[Delivery] = []
    visibility = 0.05 if what == "expire" else None
    if what != "cancel waiting":
        held = list(await m.receive("q", limit=5, visibility=visibility))
    left = list("abde")
    match what:
        case "nack":
            assert await m.nack(held[2], delay=0.0) == Settled.RETRY
            (again,) = await m.receive("q", limit=9)
            assert (texts([again]), again.attempt) == (["c"], 2)
            await m.ack(again)
        case "dead":
            assert await m.nack(held[2], permanent=True) == Settled.DEAD
            assert [letter.id for letter in await m.dead("q")] == [results[2].id]
            await m.purge_dead("q")
        case "release":
            assert await m.release(held[2]) == [True]
            (again,) = await m.receive("q", limit=9)
            assert (texts([again]), again.attempt) == (["c"], 1)
            await m.ack(again)
        case "extend":
            assert await m.extend(held[2], 60.0)
            assert await m.ack(held[2]) == [True]
        case "ack":
            assert await m.ack(held[2]) == [True]
        case "cancel":
            assert not await m.cancel("q", results[2].id)
            assert await m.ack(held[2]) == [True]
        case "cancel waiting":
            assert await m.cancel("q", results[2].id)
            held = list(await m.receive("q", limit=9))
            assert texts(held) == left
            held.insert(2, held[0])
        case "forget":
            assert await m.forget("u") == 1
            assert await m.ack(held[2]) == [False]
        case "expire":
            held = []
            with anyio.fail_after(5):
                while len(held) < 5:
                    held += await m.receive("q", limit=9, wait=1.0)
            assert {delivery.attempt for delivery in held} == {2}
            assert await m.ack(held[2]) == [True]
        case "abandon":
            await m._abandon(m._queue("q"), held[0].token)
            held = list(await m.receive("q", limit=9))
            assert (texts(held), {d.attempt for d in held}) == (list("abcde"), {1})
            assert await m.ack(held[2]) == [True]
    del held[2]
    assert texts(held) == left
    assert await m.ack(*held) == [True] * 4
    await check_empty(redis, m)


@pytest.mark.parametrize("foreign", ["", "what is this?", "what is this, and why is it so long?", b"\0" * 99])
async def test_a_foreign_value_where_a_bundle_was_is_told_and_stops_nobody(
    both: tuple[Redis, RedisMessages], foreign: str | bytes
) -> None:
    redis, m = both
    ids = await send(m, "abc")
    await redis.execute("HSET", m._queue("q").keys.all[1], " " + ids[0].rpartition(".")[0], foreign)
    await send(m, "de")
    got: list[str] = []
    with anyio.fail_after(5):
        while len(got) < 2:
            held = list(await m.receive("q", limit=9, wait=1.0))
            got += texts(held)
            await m.ack(*held)
    await m.settled()
    assert got == ["d", "e"]
    assert {letter.reason for letter in await m.dead("q")} == {"corrupt"}
    assert {letter.id for letter in await m.dead("q")} == set(ids)


async def test_nothing_is_lost_with_the_count_of_what_is_in_bundles(both: tuple[Redis, RedisMessages]) -> None:
    redis, m = both
    for names in ("abc", "def", "g"):
        await send(m, names)
    held = await m.receive("q", limit=3)
    await redis.execute("HDEL", m._queue("q").keys.queue, "state")
    assert await m.ack(*held) == [True] * 3
    assert texts(list(await m.receive("q", limit=9))) == list("defg")
    stats = (await m.stats("q"))["q"]
    assert (stats.held, sum(stats.waiting.values())) == (4, 0)


@pytest.mark.parametrize("part", ["high", "holds", "lease", "queue", "info"])
async def test_a_repair_finds_what_is_in_bundles(both: tuple[Redis, RedisMessages], part: str) -> None:
    redis, m = both
    await send(m, "abc")
    await m.receive("q", limit=3, visibility=0.05)
    await send(m, "def")
    await redis.execute("SET", redis.key("messages", part, tag="q"), "what is this?")
    got: set[str] = set()
    with anyio.fail_after(10):
        while got < set("abcdef"):
            held = list(await m.receive("q", limit=9, wait=0.1))
            got |= set(texts(held))
            await m.ack(*held)
    await check_empty(redis, m)
