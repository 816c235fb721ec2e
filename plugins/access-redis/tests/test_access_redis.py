"""Keys on Redis: the contract, and what only a server can have wrong."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from tta_access import ACCESS, AccessError, AccessPlugin, Credentials, Denied, KeyStore
from tta_access.testing import SharedKeysContract, a_key
from tta_access_redis import AccessRedis, RedisKeys
from tta_http import HttpPlugin
from tta_kernel.testing import running
from tta_redis import Redis, RedisPlugin
from tta_redis.testing import OnACluster, RedisServer, redis_server


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
