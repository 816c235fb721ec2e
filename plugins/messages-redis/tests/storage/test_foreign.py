"""What becomes of a queue when somebody else has written under its keys."""

from __future__ import annotations

import logging

import anyio
import anyio.lowlevel
import pytest

from tta_kernel import Event
from tta_messages import (
    MessageDied,
    Priority,
    QueueSettings,
    Requeued,
)
from tta_messages.testing import note
from tta_messages_redis import RedisMessages
from tta_redis import Redis, connect
from tta_redis.testing import RedisServer

from .queue import PARTS, OpenRedis, fill, key, note_filter, texts


@pytest.mark.parametrize("part", PARTS)
async def test_a_foreign_value_under_a_key_is_put_into_quarantine(
    both: tuple[Redis, RedisMessages], part: str, caplog: pytest.LogCaptureFixture
) -> None:
    redis, m = both
    await fill(m)
    await redis.execute("SET", key(redis, part), "what is this?")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert [r.error for r in await m.send(note("new"), note("soon", delay=0.01), note("brief", ttl=9.0))] == [
                ""
            ] * 3
            await m.receive("q", limit=1, wait=0.05)
            await m.stats("q")
            await m.dead("q")
            await m.history("q")
            await m.recover("q")
        await m.purge("q")
    apart = [name async for name in redis.client.scan_iter(f"{redis.prefix}:*quarantine*")]
    assert len(apart) == 1
    assert await redis.execute("GET", apart[0]) == b"what is this?"
    assert await redis.execute("PTTL", apart[0]) > 0
    assert "what is this?" not in caplog.text
    assert "foreign" in caplog.text


@pytest.mark.parametrize("part", [part for part in PARTS if part != "queue"])
async def test_what_a_repair_makes_anew_ends_though_nobody_uses_the_queue_again(
    both: tuple[Redis, RedisMessages], part: str
) -> None:
    redis, m = both
    await fill(m)
    for foreign in ("queue", part):
        await redis.execute("SET", key(redis, foreign), "what is this?")
    await m.settings("q")
    left = {each: await redis.execute("PTTL", key(redis, each)) for each in PARTS}
    assert {each for each, milliseconds in left.items() if milliseconds == -1} == set()


@pytest.mark.parametrize("part", ["high", "normal", "low", "delayed", "lease", "holds", "ttl", "info", "queue"])
async def test_no_message_is_lost_with_the_key_that_says_where_it_is(
    both: tuple[Redis, RedisMessages], part: str
) -> None:
    redis, m = both
    await fill(m)
    await redis.execute("SET", key(redis, part), "what is this?")
    await m.send(note("new"))
    got: set[str] = set()
    with anyio.fail_after(10):
        while not got >= {"HIGH", "NORMAL", "LOW", "again", "short", "new"}:
            got |= set(await texts(m))
            if part in ("lease", "holds"):
                await m.recover("q")


async def test_an_envelope_that_is_none_is_a_dead_letter_with_what_it_was(
    shared_redis: RedisServer, open_on: OpenRedis
) -> None:
    where = shared_redis.config()
    told: list[Event] = []
    async with connect(where) as redis, open_on(where, publish=told.append) as m:
        (result,) = await m.send(note("a"))
        value = await redis.execute("HGET", key(redis, "body"), result.id)
        await redis.execute("HSET", key(redis, "body"), result.id, value[:17] + b"\xc1nonsense")
        await m.send(note("b"))
        assert await texts(m) == ["b"]
        await m.settled()
        (letter,) = await m.dead("q")
        assert (letter.id, letter.reason, letter.message, letter.raw) == (result.id, "corrupt", None, b"\xc1nonsense")
        assert [event.reason for event in told if isinstance(event, MessageDied)] == ["corrupt"]
        assert await m.requeue("q") == {result.id: Requeued.CORRUPT}
        assert await m.purge_dead("q") == 1


@pytest.mark.parametrize("value", [b"", b"x", b"x" * 8 + b"7" + b"y" * 30])
async def test_a_body_that_is_none_is_a_dead_letter(both: tuple[Redis, RedisMessages], value: bytes) -> None:
    redis, m = both
    (result,) = await m.send(note("a"))
    await redis.execute("HSET", key(redis, "body"), result.id, value)
    await m.send(note("b"))
    assert await texts(m) == ["b"]
    await m.settled()
    (letter,) = await m.dead("q")
    assert (letter.id, letter.reason, letter.raw) == (result.id, "corrupt", value)


@pytest.mark.parametrize(("command", "part"), [("RPUSH", "normal"), ("ZADD", "delayed")])
async def test_an_id_without_a_body_is_a_dead_letter(
    both: tuple[Redis, RedisMessages], command: str, part: str
) -> None:
    redis, m = both
    await m.send(note("a"))
    await redis.execute(command, key(redis, part), *([1] if command == "ZADD" else []), "nobody")
    await redis.execute("HDEL", key(redis, "queue"), "state")
    assert await texts(m) == ["a"]
    (letter,) = await m.dead("q")
    assert (letter.id, letter.reason, letter.raw) == ("nobody", "corrupt", b"nobody")


@pytest.mark.parametrize("field", ["settings", "state", "irregular", "tombstones-5", "passed-over", "retried"])
async def test_a_foreign_field_stops_nobody(both: tuple[Redis, RedisMessages], field: str) -> None:
    redis, m = both
    await m.send(note("a"))
    await redis.execute("HSET", key(redis, "queue"), field, "what is this?")
    await m.send(note("b", priority=Priority.HIGH))
    assert await texts(m) == ["b", "a"]
    assert (await m.settings("q")) == QueueSettings()
    assert (await m.stats("q"))["q"].held == 2
    assert await redis.execute("PTTL", key(redis, "body")) > 0


async def test_a_letter_that_cannot_be_read_is_shown_as_it_is(both: tuple[Redis, RedisMessages]) -> None:
    redis, m = both
    await fill(m)
    (letter,) = await m.dead("q")
    await redis.execute("HSET", key(redis, "letters"), letter.id, "what is this?")
    (letter,) = await m.dead("q")
    assert (letter.reason, letter.raw) == ("corrupt", b"what is this?")


async def test_foreign_subscriptions_and_index_are_put_into_quarantine(both: tuple[Redis, RedisMessages]) -> None:
    redis, m = both
    for name in ("{subscriptions}:filters", "{subscriptions}:ends", "{subscriptions}:revision", "queues"):
        await redis.execute("RPUSH", f"{redis.prefix}:messages:{name}", "what is this?")
    await m.send(note("a"))
    subscription = await m.subscribe("q", note_filter())
    assert [r.error for r in await m.publish(note("b"))] == [""]
    await redis.execute("HSET", f"{redis.prefix}:messages:{{subscriptions}}:filters", subscription.id, b"\xc1")
    await m.subscribe("r", note_filter())
    assert [s.queue for s in await m.subscriptions()] == ["r"]
    assert set(await m.stats()) == {"q"}
