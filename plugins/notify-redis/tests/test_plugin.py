"""The plugin as a deployment has it, and what it makes of what isn't its own."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from tta_kernel import Health, Kernel
from tta_kernel.hookspecs import health, snapshot
from tta_kernel.testing import problems, running, wrong_figures
from tta_notify import OUTBOX, OutboxError
from tta_notify.testing import entry
from tta_notify_redis import NotifyRedis, RedisOutbox
from tta_notify_redis.layout import Keys
from tta_redis import Redis, RedisPlugin, connect
from tta_redis.testing import RedisServer, redis_server

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as found:
        yield found


def kernel(server: RedisServer) -> Kernel:
    (example,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    config = msgspec.yaml.decode(example)["plugins"]["notify-redis"]["config"]
    plugins = {"redis": RedisPlugin, "notify-redis": NotifyRedis}
    return running(plugins, configs={"redis": server.section(), "notify-redis": config})


async def test_notifications_outlive_their_process(server: RedisServer) -> None:
    async with kernel(server) as one:
        await one.get(OUTBOX).add(entry())
        assert await wrong_figures(one) == []
    async with kernel(server) as two:
        [taken] = await two.get(OUTBOX).take(2.0, 10, 60.0)
        assert taken.entry == entry()
        figures = (await two.ask(snapshot))["notify-redis"]
    assert isinstance(figures, dict)
    assert figures["notify.notifications"]["pending"] == 1


async def test_a_change_that_too_few_replicas_have_is_stored_and_degrades_the_health(server: RedisServer) -> None:
    config = {"wait_replicas": 1, "wait_timeout": "50ms"}
    plugins = {"redis": RedisPlugin, "notify-redis": NotifyRedis}
    async with running(plugins, configs={"redis": server.section(), "notify-redis": config}) as kernel:
        outbox = kernel.get(OUTBOX)
        added = await outbox.add(entry("replicated", owner="u"))
        found = (await kernel.ask(health))["notify-redis"]
        assert await outbox.get(added.key) is not None
        with pytest.raises(OutboxError, match="forget once more"):
            await outbox.forget("u")
    assert isinstance(found, Health)
    assert (found.status, found.detail) == ("degraded", "0 of 1 replicas confirmed the last commit in time")


def test_an_unknown_key_is_refused_before_anything_starts() -> None:
    [problem, *_] = problems(NotifyRedis, config={"colour": "blue"})
    assert problem.startswith("plugins.notify-redis.config.colour: ")


async def test_what_can_t_be_read_stands_in_nobody_s_way_and_ends_by_itself(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    outbox, keys = RedisOutbox(redis, quarantine=60.0), Keys(redis)
    for number in range(3):
        added = await outbox.add(entry(str(number)))
        await redis.execute("HSET", keys.entry(added.key), "packed", b"\xc1what a person wrote")
    good = entry("good", at=2.0)
    await outbox.add(good)
    assert [each.entry for each in await outbox.take(3.0, 10, 60.0)] == [good]
    assert list((await outbox.page()).entries) == [good]
    assert await outbox.get(entry("0").key) is None
    assert 0 < await redis.execute("PTTL", keys.entry(entry("0").key)) <= 60_000
    assert await redis.execute("ZRANGE", keys.leases, 0, -1) == [good.key.encode()]
    assert "a human must look" in caplog.text
    assert "person wrote" not in caplog.text


async def test_what_a_newer_release_has_written_is_left_alone(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    outbox, keys = RedisOutbox(redis), Keys(redis)
    newer = entry("newer")
    await outbox.add(newer)
    await redis.execute("HSET", keys.entry(newer.key), "format", "2")
    with pytest.raises(OutboxError, match=r"format 2, .* up to 1"):
        await outbox.put(newer)
    assert await outbox.get(newer.key) is None
    assert await redis.execute("HMGET", keys.entry(newer.key), "format", "version") == [b"2", b"0"]
    assert "by a newer release" in caplog.text


async def test_nothing_of_a_person_is_left(redis: Redis) -> None:
    outbox = RedisOutbox(redis)
    await outbox.add(entry("1", owner="anna.of.the.lighthouse"))
    await outbox.add(entry("2", owner="anna.of.the.lighthouse", status="dead", wake=None))
    live = await outbox.get(entry("1").key)
    assert live is not None
    await outbox.put(replace(live, tier=1))
    assert await outbox.forget("anna.of.the.lighthouse") == 2
    for key in await redis.execute("KEYS", f"{redis.prefix}:*"):
        assert b"anna" not in key
        kind = await redis.execute("TYPE", key)
        if kind == b"hash":
            assert b"anna" not in b"".join(await redis.execute("HGETALL", key))


async def test_an_outbox_that_is_gone_is_an_error_of_the_capability(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    with redis_server(own=True) as server:
        async with connect(server.config(command_timeout=0.5)) as redis:
            outbox = RedisOutbox(redis)
            await outbox.add(entry())
            server.kill()
            for call in (
                outbox.get(entry().key), outbox.put(entry()), outbox.page(), outbox.take(1.0, 1, 1.0), outbox.wake(),
                outbox.forget("u"), outbox.counts(), outbox.remove(entry()), outbox.add(entry("b")),
            ):  # fmt: skip
                with pytest.raises(OutboxError, match="the notifications' outbox"):
                    await call
