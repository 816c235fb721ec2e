"""The plugin as a deployment has it, and what it makes of what isn't its own."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from tta_crisis import CRISIS_STORE, CrisisError, CrisisQuery, Feedback
from tta_crisis.testing import intervention, packet_of
from tta_crisis_redis import CrisisRedis, RedisCrisisStore
from tta_crisis_redis.layout import Keys
from tta_kernel import Health, Kernel
from tta_kernel.hookspecs import health, snapshot
from tta_kernel.testing import problems, running
from tta_redis import Redis, RedisPlugin, connect
from tta_redis.testing import RedisServer, redis_server

README = Path(__file__).resolve().parents[1] / "README.md"
NEW = intervention()
PACKET = packet_of(NEW)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as found:
        yield found


def kernel(server: RedisServer) -> Kernel:
    (example,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    config = msgspec.yaml.decode(example)["plugins"]["crisis-redis"]["config"]
    plugins = {"redis": RedisPlugin, "crisis-redis": CrisisRedis}
    return running(plugins, configs={"redis": server.section(), "crisis-redis": config})


async def test_interventions_outlive_their_process(server: RedisServer) -> None:
    async with kernel(server) as one:
        stored = await one.get(CRISIS_STORE).open(NEW, PACKET)
        assert (await one.ask(snapshot))["crisis-redis"] == {"crisis.stored": 1, "crisis.conflicts": 0}
    async with kernel(server) as two:
        assert await two.get(CRISIS_STORE).get(NEW.id) == stored


async def test_a_change_that_too_few_replicas_have_is_stored_and_degrades_the_health(server: RedisServer) -> None:
    config = {"wait_replicas": 1, "wait_timeout": "50ms"}
    plugins = {"redis": RedisPlugin, "crisis-redis": CrisisRedis}
    async with running(plugins, configs={"redis": server.section(), "crisis-redis": config}) as kernel:
        store = kernel.get(CRISIS_STORE)
        other = intervention("replicated")
        stored = await store.open(other, packet_of(other))
        found = (await kernel.ask(health))["crisis-redis"]
        assert await store.get(other.id) == stored
        with pytest.raises(CrisisError, match="forget once more"):
            await store.forget("nobody-else")
    assert isinstance(found, Health)
    assert (found.status, found.detail) == ("degraded", "0 of 1 replicas confirmed the last commit in time")


def test_an_unknown_key_is_refused_before_anything_starts() -> None:
    [problem, *_] = problems(CrisisRedis, config={"colour": "blue"})
    assert problem.startswith("plugins.crisis-redis.config.colour: ")


async def test_what_can_t_be_read_is_set_aside_and_opened_anew(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    store, keys = RedisCrisisStore(redis, quarantine=60.0), Keys(redis)
    other = intervention("good")
    await store.open(NEW, PACKET)
    good = await store.open(other, packet_of(other))
    await redis.execute("HSET", keys.intervention(NEW.id), "packed", b"\xc1what a person wrote")
    assert [*(await store.page(CrisisQuery())).interventions] == [good]
    assert await store.get(NEW.id) is None
    assert 0 < await redis.execute("PTTL", keys.quarantine(NEW.id)) <= 60_000
    again = await store.open(NEW, PACKET)
    assert await store.get(NEW.id) == again
    assert "a human must look" in caplog.text
    assert "person wrote" not in caplog.text
    assert await store.forget("anna") == 2
    assert await redis.execute("EXISTS", keys.quarantine(NEW.id)) == 0


async def test_what_lies_under_a_key_and_is_something_else_stands_in_nobody_s_way(redis: Redis) -> None:
    store, keys = RedisCrisisStore(redis), Keys(redis)
    await store.open(NEW, PACKET)
    await redis.execute("DEL", keys.intervention(NEW.id))
    await redis.execute("LPUSH", keys.intervention(NEW.id), "x")
    other = intervention("good")
    good = await store.open(other, packet_of(other))
    assert [*(await store.page(CrisisQuery())).interventions] == [good]
    with pytest.raises(CrisisError):
        await store.open(NEW, PACKET)


async def test_what_a_newer_release_has_written_is_left_alone(redis: Redis) -> None:
    store, keys = RedisCrisisStore(redis), Keys(redis)
    stored = await store.open(NEW, PACKET)
    await redis.execute("HSET", keys.intervention(NEW.id), "format", "2")
    for call in (store.open(NEW, PACKET), store.put(stored)):
        with pytest.raises(CrisisError, match=r"format 2, .* up to 1"):
            await call
    assert await store.get(NEW.id) is None
    assert await redis.execute("HMGET", keys.intervention(NEW.id), "format", "version") == [b"2", b"1"]


async def test_a_change_that_is_sent_twice_is_done_once(redis: Redis) -> None:
    store, keys = RedisCrisisStore(redis), Keys(redis)
    stored = await store.open(NEW, PACKET)
    packed = msgspec.msgpack.encode(replace(stored, version=2, status="acknowledged"))
    others = [keys.status("open"), keys.status("resolved")]
    places = [keys.intervention(NEW.id), keys.status("acknowledged"), *others, keys.ends]
    arguments: list[str | bytes | int | float] = [1, 1, "name", packed, "acknowledged", b"", 1000]
    assert await store._put(places, arguments) == [b"ok"]
    assert await store._put(places, arguments) == [b"ok"]
    found = await store.get(NEW.id)
    assert found is not None
    assert (found.version, found.status) == (2, "acknowledged")


async def test_of_a_person_a_day_is_left(redis: Redis) -> None:
    store, keys = RedisCrisisStore(redis), Keys(redis)
    stored = await store.open(NEW, PACKET)
    await store.put(replace(stored, status="resolved", resolved_at=1.0))
    await store.judge(Feedback(intervention=NEW.id, judgement="right", by="dr b", owner="anna"))
    assert await store.forget("anna") == 2
    assert await redis.execute("KEYS", f"{redis.prefix}:*") == [keys.traces.encode()]
    [kept] = await redis.execute("LRANGE", keys.traces, 0, -1)
    assert b"anna" not in kept
    assert b"s-1" not in kept


async def test_a_store_that_is_gone_is_an_error_of_the_capability(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    with redis_server(own=True) as server:
        async with connect(server.config(command_timeout=0.5)) as redis:
            store = RedisCrisisStore(redis)
            stored = await store.open(NEW, PACKET)
            server.kill()
            for call in (
                store.get("a"), store.put(stored), store.page(CrisisQuery()), store.open(NEW, PACKET),
                store.packet("a"), store.forget("u"), store.judgements(), store.traces(),
                store.judge(Feedback(intervention="a", judgement="right", by="dr b")),
            ):  # fmt: skip
                with pytest.raises(CrisisError, match="the store of interventions"):
                    await call
