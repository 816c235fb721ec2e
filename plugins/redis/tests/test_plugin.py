from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from tta_kernel import ConfigError, Health, Kernel, KernelError, KernelSettings, PluginError, PluginSettings
from tta_kernel.hookspecs import health, snapshot
from tta_redis import REDIS, Redis, RedisPlugin, connect
from tta_redis.plugin import assess, unsuitable
from tta_redis.testing import RedisServer, cluster, free_port, redis_server, sentinel


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def kernel(*, required: bool = True, **config: Any) -> Kernel:
    section = PluginSettings(required=required, config={"connect_timeout": "1s", **config})
    return Kernel(KernelSettings(plugins={"redis": section}), plugins={"redis": RedisPlugin})


async def test_the_plugin_offers_the_client_and_says_how_it_is(
    shared_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tta.redis")
    async with kernel(**shared_redis.section(prefix="x")) as running:
        redis: Redis = running.get(REDIS)
        assert await redis.execute("PING") == b"PONG"
        found = (await running.ask(health))["redis"]
        assert isinstance(found, Health)
        assert (found.status, "ms a round trip" in found.detail) == ("ok", True)
        inside = (await running.ask(snapshot))["redis"]
        assert isinstance(inside, dict)
        assert inside["server"]["mode"] == "standalone"
        assert inside["connections"][0]["pending"] == 0
    hello = shared_redis.raw("HELLO")
    said = dict(zip(hello[::2], hello[1::2], strict=True))
    assert f"connected: {said[b'server'].decode()} {said[b'version'].decode()}, standalone" in caplog.text


async def test_the_health_says_since_when_the_server_is_gone() -> None:
    with redis_server(own=True) as server:
        async with kernel(**server.section()) as running:
            server.kill()
            first, second = [(await running.ask(health))["redis"] for _ in range(2)]
            assert isinstance(first, Health)
            assert isinstance(second, Health)
            assert (first.status, first.since) == ("failing", second.since)
            assert "connection refused" in second.detail
            server.start()
            await running.get(REDIS).execute("PING")
            third = (await running.ask(health))["redis"]
            assert isinstance(third, Health)
            assert third.status == "ok"


async def test_the_health_says_why_nothing_can_be_written() -> None:
    with redis_server(own=True) as server:
        async with kernel(**server.section()) as running:
            server.command("CONFIG", "SET", "maxmemory", 1)
            without = (await running.ask(health))["redis"]
            server.command("CONFIG", "SET", "maxmemory", 0)
            assert isinstance(without, Health)
            assert without.status == "degraded"
            assert without.detail.startswith(f"127.0.0.1:{server.port} takes no writes: OOM ")
            server.command("CONFIG", "SET", "min-replicas-to-write", 1)
            alone = (await running.ask(health))["redis"]
            assert isinstance(alone, Health)
            assert (alone.status, "NOREPLICAS" in alone.detail) == ("degraded", True)
            server.command("CONFIG", "SET", "min-replicas-to-write", 0)
            again = (await running.ask(health))["redis"]
            assert isinstance(again, Health)
            assert again.status == "ok"
            assert server.command("DBSIZE") == 0


async def test_on_a_cluster_each_master_is_asked_whether_it_can_be_written_to() -> None:
    with cluster() as found:
        async with connect(found.config()) as redis:
            await redis.execute("SET", "a", "1")
            assert await redis.refusals(5.0) == {}
            full = found.owner("a")
            full.command("CONFIG", "SET", "maxmemory", 1)
            (name,) = await redis.refusals(5.0)
            assert name.endswith(f":{full.port}")


async def test_an_unreachable_server_at_the_start_is_named_without_the_password() -> None:
    port = free_port()
    with pytest.raises(PluginError, match=f"127.0.0.1:{port}: connection refused") as caught:
        async with kernel(url=f"redis://:hunter2@localhost:{port}".replace("localhost", "127.0.0.1")):
            pass
    assert "hunter2" not in repr(caught.value)
    assert "'redis'" in str(caught.value)


async def test_an_optional_plugin_waits_for_the_server() -> None:
    async with kernel(required=False, url=f"redis://127.0.0.1:{free_port()}", connect_timeout=0.2) as running:
        with pytest.raises(KernelError):
            running.get(REDIS)


@pytest.mark.parametrize("password", ["", "wrong"])
async def test_a_refused_password_is_said_at_once(password: str) -> None:
    with (
        redis_server(password="right") as server,
        pytest.raises(PluginError, match="it refuses the username or password") as caught,
    ):
        async with kernel(**server.section(url=f"redis://127.0.0.1:{server.port}", password=password)):
            pass
    assert "wrong" not in str(caught.value)


async def test_a_sentinel_is_no_server() -> None:
    with sentinel(replicas=0, sentinels=1) as several:
        with pytest.raises(PluginError, match="it is a Sentinel; set sentinel, not url"):
            async with kernel(**several.watchers[0].section()):
                pass
        hosts = [f"127.0.0.1:{several.watchers[0].port}"]
        with pytest.raises(PluginError, match="the Sentinels know no master 'other'"):
            async with kernel(sentinel={"hosts": hosts, "master": "other"}):
                pass


async def test_a_replica_is_refused_at_the_start() -> None:
    with (
        redis_server("--replicaof", "127.0.0.1", "1") as server,
        pytest.raises(PluginError, match="it is a replica and refuses writes"),
    ):
        async with kernel(**server.section()):
            pass


def test_unusable_files_are_found_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="its files can't be used"):
        kernel(url="rediss://a", tls={"ca": str(tmp_path / "missing.pem")}).check()
    kernel(url="rediss://a").check()


@pytest.mark.parametrize(("version", "fits"), [("6.0.16", False), ("6.2.0", True), ("7.0.15", True), ("own", True)])
def test_an_old_server_is_unsuitable(version: str, fits: bool) -> None:
    assert (unsuitable({"server": "redis", "version": version}) == "") is fits


def test_one_silent_master_of_many_degrades() -> None:
    assert assess({"a": 0.001, "b": 0.002}, 0.25) == ("ok", "2.0 ms a round trip")
    assert assess({"a": 0.3}, 0.25)[0] == "degraded"
    assert assess({"a": 0.001, "b": "b: connection refused"}, 0.25) == ("degraded", "b: connection refused")
    assert assess({"a": "gone"}, 0.25) == ("failing", "gone")
    assert assess({"a": 0.001}, 0.25, {"a": "OOM no"}) == ("degraded", "a takes no writes: OOM no")
