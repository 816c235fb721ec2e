"""A user with the rights that docs/deployment.md names, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from redis.exceptions import ResponseError

from tta_redis import Config, connect
from tta_redis.testing import RedisServer, cluster, redis_server

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "deployment.md"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", params=["one server", "a Cluster"])
def limited(request: pytest.FixtureRequest) -> Iterator[Config]:
    if request.param == "one server":
        with redis_server(own=True) as server:
            yield of_user(server.config(), [server])
    else:
        with cluster() as nodes:
            yield of_user(nodes.config(), nodes.nodes)


def of_user(config: Config, servers: Sequence[RedisServer]) -> Config:
    (rights,) = re.findall(r"`(resetchannels [^`]*)`", GUIDE.read_text())
    for server in servers:
        server.command("ACL", "SETUSER", "story", "on", ">secret", *rights.split())
    return msgspec.structs.replace(config, username="story", password="secret", prefix="tta")


async def test_a_user_with_the_rights_in_the_guide_can_do_all_of_it(limited: Config) -> None:
    async with connect(limited) as redis:
        script, key = redis.script("return redis.call('INCR', KEYS[1])"), redis.key("n")
        count, _ = await script([key], replicas=1, replica_timeout=0.1)
        assert await redis.pipeline(("GET", key), script.command([key])) == [b"%d" % count, count + 1]
        assert await redis.client.get(key) == b"%d" % (count + 1)
        assert all(isinstance(it, float) for it in (await redis.ping(1.0)).values())
        assert b"redis_version" in await redis.execute("INFO", "server")
        async with redis.listen(redis.key("c")) as signals:
            await redis.execute("PUBLISH", redis.key("c"), "x")
            assert await anext(signals) == (redis.key("c"), b"x")


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "other"),
        ("SET", "other", 1),
        ("PUBLISH", "other", 1),
        ("FLUSHALL",),
        ("KEYS", "*"),
        ("CONFIG", "GET", "*"),
    ],
)
async def test_it_can_do_nothing_with_what_is_not_ours(limited: Config, command: tuple[str, ...]) -> None:
    async with connect(limited) as redis:
        with pytest.raises(ResponseError, match="NOPERM"):
            await redis.execute(*command)
