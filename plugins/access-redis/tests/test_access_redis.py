"""Keys on Redis: the contract, and what only a server can have wrong."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from tta_access import ACCESS, KEYS, AccessError, AccessPlugin, Credentials, Denied, KeyStore
from tta_access.testing import SharedKeysContract, a_key
from tta_access_redis import AccessRedis, RedisKeys
from tta_http import HttpPlugin
from tta_kernel import Health
from tta_kernel.hookspecs import health
from tta_kernel.testing import running
from tta_redis import Redis, RedisPlugin, connect
from tta_redis.testing import OnACluster, RedisServer, redis_server, sentinel


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class TestOnOneServer(SharedKeysContract):
    @pytest.fixture
    def keys(self, redis: Redis) -> KeyStore:
        return RedisKeys(redis)

    @pytest.fixture
    def other(self, redis: Redis) -> KeyStore:
        return RedisKeys(redis)


class TestOnACluster(OnACluster, TestOnOneServer):
    """The same on a Cluster."""


async def test_no_key_lies_on_the_server_but_its_digest(redis: Redis) -> None:
    keys = RedisKeys(redis)
    await keys.add(a_key())
    stored = await redis.execute("HGETALL", redis.key("access", "keys", tag="access"))
    assert a_key().digest.encode() in repr(stored).encode()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff", b'{"id": 1}'])
async def test_a_value_that_is_no_key_opens_nothing_and_is_told(redis: Redis, damage: bytes) -> None:
    keys = RedisKeys(redis)
    await redis.execute("HSET", redis.key("access", "keys", tag="access"), "f" * 64, damage)
    with pytest.raises(AccessError, match="isn't one"):
        await keys.find("f" * 64)
    assert await keys.find("0" * 64) is None


async def test_a_foreign_value_in_the_place_of_the_keys_is_an_error(redis: Redis) -> None:
    await redis.execute("SET", redis.key("access", "keys", tag="access"), "x")
    with pytest.raises(AccessError):
        await RedisKeys(redis).find("0" * 64)


async def test_while_redis_is_away_nobody_is_let_in_and_once_it_is_back_all_are() -> None:
    with redis_server() as server:
        await _away_and_back(server)


async def _away_and_back(server: RedisServer) -> None:
    config = msgspec.to_builtins(server.config()) | {"command_timeout": 0.5}
    configs = {"redis": config, "access": {"cache_ttl": 0.001}}
    async with running(
        {"redis": RedisPlugin, "access-redis": AccessRedis, "access": AccessPlugin}, HttpPlugin, configs=configs
    ) as kernel:
        access = kernel.get(ACCESS)
        with pytest.raises(Denied) as caught:
            await access.authenticate(Credentials(diag_key="x"))
        assert caught.value.code == "unauthenticated"
        server.pause()
        with pytest.raises(Denied) as caught:
            await access.authenticate(Credentials(diag_key="y", peer="192.0.2.2"))
        assert caught.value.code == "unavailable"
        server.resume()
        with anyio.fail_after(10):
            while caught.value.code == "unavailable":
                with pytest.raises(Denied) as caught:
                    await access.authenticate(Credentials(diag_key="y", peer="192.0.2.2"))


async def test_a_key_that_replicas_have_and_a_revocation_hold_when_one_of_them_takes_over() -> None:
    with sentinel() as several:
        async with connect(several.config(socket_timeout=1.0)) as redis:
            keys = RedisKeys(redis, wait_replicas=1, wait_timeout=5.0)
            kept, gone = a_key("kept", "one"), a_key("gone", "two")
            await keys.add(kept)
            await keys.add(gone)
            assert await keys.revoke(gone.id)
            assert keys.unconfirmed == ""
            several.master().kill()
            found = await keys.find(kept.digest)
            ended = await keys.find(gone.digest)
            assert found is not None
            assert ended is not None
            assert (found.state(0.0), ended.state(0.0)) == ("active", "revoked")
            await RedisKeys(redis).add(a_key("after", "three"))
            assert [each.id for each in await keys.keys()] == ["kept", "gone", "after"]


async def test_a_revocation_that_too_few_replicas_have_is_an_error_until_they_have_it() -> None:
    with sentinel(replicas=1, sentinels=1) as several:
        async with connect(several.config()) as redis:
            assert await redis.wait(1, 10.0, key="warm") == 1
            keys = RedisKeys(redis, wait_replicas=1, wait_timeout=0.2)
            await keys.add(a_key())
            (replica,) = several.replicas()
            replica.pause()
            try:
                for _ in range(2):
                    with pytest.raises(
                        AccessError, match=r"0 of 1 replicas have confirmed it.*revoke it until none is active"
                    ):
                        await keys.revoke(a_key().id)
                found = await keys.find(a_key().digest)
                assert found is not None
                assert found.state(0.0) == "revoked"
            finally:
                replica.resume()
            with anyio.fail_after(10):
                while True:
                    try:
                        assert await keys.revoke(a_key().id) is False
                        break
                    except AccessError:
                        continue


async def test_a_key_that_too_few_replicas_have_counts_and_degrades_the_health(shared_redis: RedisServer) -> None:
    configs = {
        "redis": msgspec.to_builtins(shared_redis.config()),
        "access-redis": {"wait_replicas": 1, "wait_timeout": "20ms"},
    }
    async with running(
        {"redis": RedisPlugin, "access-redis": AccessRedis, "access": AccessPlugin}, HttpPlugin, configs=configs
    ) as kernel:
        keys = kernel.get(KEYS)
        await keys.add(a_key())
        found = (await kernel.ask(health))["access-redis"]

        assert await keys.find(a_key().digest) is not None
        assert isinstance(found, Health)
        assert (found.status, found.detail) == ("degraded", "0 of 1 replicas confirmed the last commit in time")
