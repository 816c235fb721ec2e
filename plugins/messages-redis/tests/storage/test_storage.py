"""What lies in Redis ends, is bounded, and is gone when it is done."""

from __future__ import annotations

from random import Random

import anyio
import anyio.lowlevel
import pytest

from tta_messages import (
    MessagesConfig,
    Priority,
    QueueSettings,
)
from tta_messages.testing import note
from tta_messages_redis import RedisMessages
from tta_redis import Redis, connect
from tta_redis.testing import RedisServer

from .queue import PARTS, OpenRedis, fill, key, note_filter, texts


async def test_every_key_has_an_end(both: tuple[Redis, RedisMessages]) -> None:
    redis, m = both
    await fill(m)
    await m.receive("q", limit=20)
    await m.receive("q", wait=0.01)
    await m.subscribe("q", note_filter())
    found = [name async for name in redis.client.scan_iter(f"{redis.prefix}:*")]
    assert len(found) >= 13
    for name in found:
        assert 0 < await redis.execute("PTTL", name) < 40 * 86_400_000, name


async def test_keys_that_come_and_go_have_an_end_each_time(both: tuple[Redis, RedisMessages]) -> None:
    redis, m = both
    for _ in range(3):
        await m.send(note("a"), note("b", delay=0.0, ttl=50.0))
        held = await m.receive("q", limit=5)
        await m.nack(held[0], delay=0.0)
        await m.nack(held[1], delay=0.05)
        await m.ack(*await m.receive("q", limit=5))
        await m.ack(*await m.receive("q", limit=5, wait=5.0))
        for name in [name async for name in redis.client.scan_iter(f"{redis.prefix}:*")]:
            assert await redis.execute("PTTL", name) > 0, name


async def endless(redis: Redis) -> list[str]:
    """Return keys of ours without an end; a foreign value that nobody has come across has none, either."""
    names = [name.decode() async for name in redis.client.scan_iter(f"{redis.prefix}:*")]
    ours = [name for name in names if await redis.execute("TYPE", name) != b"string"]
    return [name for name in ours if await redis.execute("PTTL", name) < 0]


async def test_what_the_fast_path_makes_has_an_end_too(both: tuple[Redis, RedisMessages]) -> None:
    redis, m = both
    await m.configure("q", QueueSettings())  # Of what comes later, nothing is there yet.
    for _ in range(40):
        await m.send(note("a"))
        await m.ack(*await m.receive("q", limit=5))
    assert await endless(redis) == []


@pytest.mark.parametrize("part", PARTS)
async def test_what_is_made_anew_after_a_foreign_value_has_an_end_too(
    both: tuple[Redis, RedisMessages], part: str
) -> None:
    redis, m = both
    await fill(m)
    await redis.execute("SET", key(redis, part), "what is this?")
    for _ in range(40):
        await m.send(note("a"))
        await m.ack(*await m.receive("q", limit=5))
    assert await endless(redis) == []


async def test_a_queue_that_nobody_uses_is_gone_when_all_in_it_would_be(
    shared_redis: RedisServer, open_on: OpenRedis
) -> None:
    where, short = shared_redis.config(), QueueSettings(ttl=0.2, dead_ttl=0.2, dedup_window=0.2)
    async with connect(where) as redis, open_on(where, MessagesConfig(defaults=short)) as m:
        await m.send(note("a"))
        assert 0 < await redis.execute("PTTL", key(redis, "body")) < 61_000


async def test_holding_for_longer_than_messages_live_keeps_the_queue(both: tuple[Redis, RedisMessages]) -> None:
    redis, m = both
    await m.send(note("a"))
    (held,) = await m.receive("q")
    assert await m.extend(held, 90 * 86_400.0)
    assert await redis.execute("PTTL", key(redis, "body")) > 90 * 86_400_000


async def test_scripts_that_the_server_forgot_are_loaded_again(both: tuple[Redis, RedisMessages]) -> None:
    redis, m = both
    await m.send(note("a"))
    await redis.execute("SCRIPT", "FLUSH")
    assert await texts(m) == ["a"]
    await redis.execute("SCRIPT", "FLUSH")
    async with anyio.create_task_group() as tasks:
        for n in range(50):
            tasks.start_soon(m.send, note(str(n)))
    assert len(await texts(m, limit=100)) == 50


async def test_ids_that_are_known_are_bounded(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    where = shared_redis.config()
    async with connect(where) as redis, open_on(where, MessagesConfig(defaults=QueueSettings(max_length=1000))) as m:
        for n in range(25):
            await m.send(*(note(id=f"{n}-{each}") for each in range(1000)))
            await m.purge("q")
        known = [await redis.execute("SCARD", key(redis, part)) for part in ("seen-0", "seen-1")]
        assert 10_000 <= sum(known) <= 22_000


async def test_dead_letters_and_history_are_bounded(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    where = shared_redis.config()
    async with (
        connect(where) as redis,
        open_on(where, MessagesConfig(defaults=QueueSettings(dead_limit=10, audit_limit=100))) as m,
    ):
        for _ in range(10):
            await m.send(*(note() for _ in range(50)))
            for held in await m.receive("q", limit=50):
                await m.nack(held, permanent=True)
        assert await redis.execute("ZCARD", key(redis, "dead")) == 10
        assert await redis.execute("HLEN", key(redis, "letters")) == 10
        assert await redis.execute("XLEN", key(redis, "audit")) <= 210
        assert await redis.execute("HLEN", key(redis, "body")) == 0


async def test_a_cancelled_message_leaves_nothing_behind(both: tuple[Redis, RedisMessages]) -> None:
    redis, m = both
    sent = await m.send(*(note() for _ in range(50)))
    for result in sent:
        assert await m.cancel("q", result.id)
    assert (await m.stats("q"))["q"].waiting["normal"] == 0
    assert await texts(m) == []
    assert await redis.execute("LLEN", key(redis, "normal")) == 0
    assert await redis.execute("HLEN", key(redis, "info")) == 0


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_left_behind_whatever_becomes_of_messages(
    shared_redis: RedisServer, open_on: OpenRedis, seed: int
) -> None:
    random = Random(seed)
    where, short = shared_redis.config(), QueueSettings(max_length=300, retries=2, visibility=0.05, starvation_limit=3)
    acknowledged: set[str] = set()
    sent: set[str] = set()
    cancelled: set[str] = set()
    async with connect(where) as redis, open_on(where, MessagesConfig(defaults=short)) as m:

        async def send() -> None:
            for _ in range(60):
                messages = [
                    note(
                        priority=random.choice([*Priority]),
                        delay=random.choice([0.0, 0.0, 0.02]),
                        ttl=random.choice([None, None, 0.03, 5.0]),
                        id=random.choice(["", f"id-{random.randrange(300)}"]),
                    )
                    for _ in range(random.randrange(1, 6))
                ]
                results = await m.send(*messages)
                sent.update(r.id for r in results if not (r.error or r.duplicate))
                if random.random() < 0.3 and await m.cancel("q", results[0].id):
                    cancelled.add(results[0].id)

        async def handle() -> None:
            for _ in range(60):
                held = await m.receive("q", limit=random.randrange(1, 8), wait=0.05)
                for delivery in held:
                    match random.randrange(6):
                        case 0:
                            await m.nack(delivery, delay=random.choice([0.0, 0.01, None]), error="no")
                        case 1:
                            await m.release(delivery)
                        case 2:
                            await m.extend(delivery, 0.02)
                        case 3:
                            pass
                        case _:
                            if (await m.ack(delivery))[0]:
                                acknowledged.add(delivery.message.id)

        async with anyio.create_task_group() as tasks:
            for do in (send, send, handle, handle):
                tasks.start_soon(do)
        with anyio.fail_after(20):
            while await redis.execute("HLEN", key(redis, "body")):
                held = await m.receive("q", limit=50, wait=0.2)
                acknowledged.update(d.message.id for d, ok in zip(held, await m.ack(*held), strict=True) if ok)
        while await m.receive("q", limit=1000):
            raise AssertionError("there was no body left")
        dead = {letter.id for letter in await m.dead("q", limit=1000)}
        assert sent == acknowledged | dead | cancelled
        numbers = (await m.stats("q"))["q"]
        assert (sum(numbers.waiting.values()), numbers.delayed, numbers.held) == (0, 0, 0)
        assert numbers.sent == numbers.acknowledged + numbers.died + len(cancelled)
        lengths = {
            part: await redis.execute(command, key(redis, part))
            for part, command in {
                "high": "LLEN", "normal": "LLEN", "low": "LLEN", "info": "HLEN", "holds": "HLEN", "lease": "ZCARD",
                "delayed": "ZCARD", "ttl": "ZCARD",
            }.items()
        }  # fmt: skip
        # Both have one entry of their own, with which they never get empty.
        assert lengths == dict.fromkeys(lengths, 0) | {"holds": 1, "lease": 1}
        tombstones = await redis.execute("HMGET", key(redis, "queue"), "tombstones-9", "tombstones-5", "tombstones-1")
        assert {int(each or 0) for each in tombstones} == {0}


async def test_nothing_remains_of_a_dropped_queue_and_who_sends_to_it_again_lists_it(
    shared_redis: RedisServer, open_on: OpenRedis
) -> None:
    where = shared_redis.config()
    async with connect(where) as redis, open_on(where) as m, open_on(where) as other:
        await m.send(note("a"), note("b", ttl=60.0, priority=Priority.HIGH), note("c", delay=60.0, id="1"))
        dead, done = await m.receive("q", limit=2)
        await m.nack(dead, permanent=True)
        await m.ack(done)
        assert not await other.drop("q")
        assert await m.cancel("q", "1")
        await m.purge_dead("q")
        assert await other.drop("q")
        assert not [name async for name in redis.client.scan_iter(f"{redis.prefix}:messages:{{q}}*")]
        assert not await other.stats()
        await m.send(note("a"))
        assert (await other.stats())["q"].sent == 1
