"""The plugin as a deployment has it, and what it makes of what isn't its own."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tta_kernel import Health, Kernel
from tta_kernel.hookspecs import health, snapshot
from tta_kernel.testing import problems, running
from tta_redis import Redis, RedisPlugin, connect
from tta_redis.testing import RedisServer, redis_server
from tta_schedules import SCHEDULE_STORE, Entry, Schedule, ScheduleStoreError
from tta_schedules_redis import RedisScheduleStore, SchedulesRedis
from tta_schedules_redis.layout import Keys

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as found:
        yield found


def entry(name: str = "a", **more: object) -> Entry:
    return Entry(name=name, schedule=Schedule("greet", every=60.0), **more)  # type: ignore[arg-type]  # its own fields


def kernel(server: RedisServer) -> Kernel:
    (example,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    config = msgspec.yaml.decode(example)["plugins"]["schedules-redis"]["config"]
    plugins = {"redis": RedisPlugin, "schedules-redis": SchedulesRedis}
    return running(plugins, configs={"redis": server.section(), "schedules-redis": config})


async def test_schedules_outlive_their_process(server: RedisServer) -> None:
    async with kernel(server) as one:
        stored = await one.get(SCHEDULE_STORE).put(entry(wake=5.0))
        assert (await one.ask(snapshot))["schedules-redis"] == {"schedules.stored": 1, "schedules.conflicts": 0}
    async with kernel(server) as two:
        assert list(await two.get(SCHEDULE_STORE).due(10.0, 10)) == [stored]


async def test_a_change_that_too_few_replicas_have_is_stored_and_degrades_the_health(server: RedisServer) -> None:
    config = {"wait_replicas": 1, "wait_timeout": "50ms"}
    plugins = {"redis": RedisPlugin, "schedules-redis": SchedulesRedis}
    async with running(plugins, configs={"redis": server.section(), "schedules-redis": config}) as kernel:
        store = kernel.get(SCHEDULE_STORE)
        stored = await store.put(entry("replicated"))
        found = (await kernel.ask(health))["schedules-redis"]
        assert await store.get("replicated") == stored
        with pytest.raises(ScheduleStoreError, match="forget once more"):
            await store.forget("u")
    assert isinstance(found, Health)
    assert (found.status, found.detail) == ("degraded", "0 of 1 replicas confirmed the last commit in time")


def test_an_unknown_key_is_refused_before_anything_starts() -> None:
    [problem, *_] = problems(SchedulesRedis, config={"colour": "blue"})

    assert problem.startswith("plugins.schedules-redis.config.colour: ")


async def test_what_can_t_be_read_stands_in_nobody_s_way_and_ends_by_itself(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    store, keys = RedisScheduleStore(redis, quarantine=60.0), Keys(redis)
    for number in range(5):
        await store.put(entry(f"corrupt{number}", wake=1.0))
        await redis.execute("HSET", keys.entry(f"corrupt{number}"), "packed", b"\xc1what a person wrote")
    for name, kind in (("string", "SET"), ("list", "LPUSH")):
        await store.put(entry(name, wake=1.5))
        await redis.execute("DEL", keys.entry(name))
        await redis.execute(kind, keys.entry(name), "x")
    good = await store.put(entry("good", wake=2.0))
    assert list(await store.due(3.0, 2)) == [good]
    assert list((await store.page()).entries) == [good]
    assert await store.get("corrupt0") is None
    assert 0 < await redis.execute("PTTL", keys.entry("corrupt0")) <= 60_000
    assert await redis.execute("ZRANGE", keys.wakes, 0, -1) == [b"good"]
    assert "a human must look" in caplog.text
    assert "person wrote" not in caplog.text


async def test_what_a_newer_release_has_written_is_left_alone(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    store, keys = RedisScheduleStore(redis), Keys(redis)
    stored = await store.put(entry("newer", wake=1.0))
    await redis.execute("HSET", keys.entry("newer"), "format", "2")
    good = await store.put(entry("good", wake=2.0))
    assert list(await store.due(3.0, 1)) == [good]
    with pytest.raises(ScheduleStoreError, match=r"format 2, .* up to 1"):
        await store.put(stored)
    assert await redis.execute("HMGET", keys.entry("newer"), "format", "version") == [b"2", b"1"]
    await store.due(3.0, 1)
    assert caplog.text.count("by a newer release") == 1


async def test_what_is_sent_twice_is_done_once(redis: Redis) -> None:
    store, keys = RedisScheduleStore(redis), Keys(redis)
    await store.put(entry())
    arguments: list[str | bytes | int | float] = [
        "a", 1, "name", 1, msgspec.msgpack.encode(entry(version=2)), "", "", 10, 0, 10, 1000, "", keys.channel, b"r",
    ]  # fmt: skip
    places = [keys.entry("a"), keys.names, keys.wakes, keys.history("a"), keys.owner(""), keys.lease]
    assert await store._put(places, arguments) == [b"ok"]
    assert await store._put(places, arguments) == [b"ok"]
    assert (await redis.execute("LLEN", keys.history("a")), await redis.execute("HGET", places[0], "version")) == (
        1,
        b"2",
    )


async def test_nothing_of_a_person_is_left(redis: Redis) -> None:
    store = RedisScheduleStore(redis)
    schedule = Schedule("greet", {"text": "x"}, "u", every=60.0)
    stored = await store.put(Entry(name="a", schedule=schedule, wake=1.0))
    await store.remove(stored)
    await store.put(Entry(name="b", schedule=schedule, wake=1.0))
    assert await store.forget("u") == 1
    assert await redis.execute("KEYS", f"{redis.prefix}:*") == []


async def test_a_store_that_is_gone_is_an_error_of_the_capability(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    with redis_server(own=True) as server:
        async with connect(server.config(command_timeout=0.5)) as redis:
            store = RedisScheduleStore(redis)
            stored = await store.put(entry())
            server.kill()
            for call in (
                store.get("a"), store.put(stored), store.page(), store.due(1.0, 1), store.wake(1.0), store.forget("u"),
                store.history("a"), store.remove(stored), store.hold("p", 1.0),
            ):  # fmt: skip
                with pytest.raises(ScheduleStoreError, match="the schedules' store"):
                    await call
