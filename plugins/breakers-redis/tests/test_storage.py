"""What lies in Redis: what is none of ours is moved out of the way, and there is never too much."""

from __future__ import annotations

import logging

import pytest

from tta_breakers import BREAKER_STORE, BREAKERS, BreakersError, BreakersMemory, BreakersPlugin, Record, Swap
from tta_breakers.testing import fail
from tta_breakers_redis import BreakersRedis, RedisBreakerStore
from tta_kernel.testing import problems, running
from tta_redis import REDIS, Redis

LOG = logging.getLogger("tta.breakers-redis")


def store_on(redis: Redis, **settings: float) -> RedisBreakerStore:
    return RedisBreakerStore(redis, LOG, **settings)  # type: ignore[arg-type]


def key(redis: Redis, part: str) -> str:
    return redis.key("breakers", part, tag="breakers")


async def put(store: RedisBreakerStore, *names: str) -> None:
    for name in names:
        await store.swap([Swap(name, "", Record(at=1.0, stamp=name))])


async def test_memory_yields_to_redis_and_what_opens_is_there_afterwards(redis: Redis) -> None:
    plugins = (BreakersPlugin, BreakersMemory, BreakersRedis)
    statuses = []
    for _ in range(2):
        async with running(*plugins, services={REDIS: redis}, config={"names": {"*": {"failures": 2}}}) as kernel:
            assert kernel.records["breakers-memory"].state == "yielding"
            assert isinstance(kernel.get(BREAKER_STORE), RedisBreakerStore)
            breaker = kernel.get(BREAKERS).breaker("x")
            statuses.append(breaker.record.status)
            if breaker.record.status == "closed":
                await fail(breaker, 2)
    assert statuses == ["closed", "open"]
    assert [each.opens for each in (await store_on(redis).read()).records.values()] == [1]


@pytest.mark.parametrize("part", ["records", "written", "foreign"])
async def test_a_key_of_another_type_is_moved_out_of_the_way(redis: Redis, part: str) -> None:
    await redis.execute("SET", key(redis, part), "foreign")
    store = store_on(redis)
    await put(store, "x")
    assert {*(await store.read()).records} == {"x"}
    assert await redis.execute("GET", f"{key(redis, part)}:quarantined") == b"foreign"
    assert await redis.execute("PTTL", f"{key(redis, part)}:quarantined") > 0


@pytest.mark.parametrize(
    "value",
    ["", "foreign", "1 s\nno json", '1 s\n{"status":"ajar"}', '1 s\n{"stamp":"other"}', '1 s\n{"stamp":"s","at":1e99}'],
)
async def test_what_is_no_record_is_set_aside_and_said(
    redis: Redis, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_on(redis)
    await redis.execute("HSET", key(redis, "records"), "x", value)
    assert (await store.read()).records == {}
    assert await redis.execute("HGET", key(redis, "foreign"), "x") == value.encode()
    assert "'x' was no record" in caplog.text
    await put(store, "x")
    assert {*(await store.read()).records} == {"x"}


async def test_what_a_later_release_wrote_is_left_alone(redis: Redis) -> None:
    store = store_on(redis)
    await redis.execute("HSET", key(redis, "records"), "x", "2 s\nanything")
    assert (await store.read()).records == {}
    with pytest.raises(BreakersError, match="a later release wrote it"):
        await put(store, "x")
    assert await redis.execute("HGET", key(redis, "records"), "x") == b"2 s\nanything"


async def test_beyond_the_limit_those_go_that_changed_first(redis: Redis) -> None:
    store = store_on(redis, limit=2)
    await put(store, "a", "b")
    await store.swap([Swap("a", "a", Record(at=2.0, stamp="A"))])
    await put(store, "c")
    assert await redis.execute("HLEN", key(redis, "records")) == 2
    assert await redis.execute("ZCARD", key(redis, "written")) == 2


async def test_what_has_not_changed_for_long_goes_with_the_next_write(redis: Redis) -> None:
    await put(store_on(redis), "old")
    await redis.execute("ZADD", key(redis, "written"), 1, "old")
    await put(store_on(redis, ttl=60.0), "new")
    assert {*(await store_on(redis).read()).records} == {"new"}
    assert 0 < await redis.execute("PTTL", key(redis, "records")) <= 120_000


@pytest.mark.parametrize("config", [{"ttl": "10ms"}, {"limit": 0}, {"quarantine": 0}])
def test_settings_that_make_no_sense_are_refused(config: dict[str, object]) -> None:
    assert problems(BreakersRedis, config=config)
