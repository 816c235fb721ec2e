from __future__ import annotations

import time
from collections.abc import Iterator

import anyio
import pytest
from redis.exceptions import ResponseError

from tta_redis import Config, Redis, RedisDown, Script, connect
from tta_redis.testing import RedisCluster, RedisServer, cluster, wait_until


@pytest.fixture(scope="module")
def nodes() -> Iterator[RedisCluster]:
    with cluster() as found:
        yield found


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def many(nodes: RedisCluster) -> Redis:  # type: ignore[misc]
    async with connect(nodes.config(socket_timeout=1.0)) as client:
        yield client


async def counted(script: Script, key: str) -> int | None:
    """Count; None where the client can't know whether that was done, and anything else is an error."""
    try:
        return int(await script([key]))
    except RedisDown as down:
        if not down.unknown:
            raise
        return None


def other(nodes: RedisCluster, key: str) -> RedisServer:
    owner = nodes.owner(key)
    return next(nodes.owner(f"x{n}") for n in range(100) if nodes.owner(f"x{n}") is not owner)


async def test_each_key_finds_its_server(many: Redis) -> None:
    keys = [many.key("k", str(number)) for number in range(100)]
    async with anyio.create_task_group() as tasks:
        for key in keys:
            tasks.start_soon(many.execute, "SET", key, key)
    assert [await many.execute("GET", key) for key in keys] == [key.encode() for key in keys]
    assert len({each.address for each in many.connections()}) == 3


async def test_a_script_runs_where_its_keys_are_and_its_replica_has_it(many: Redis) -> None:
    script = many.script("redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[2])")
    for number in range(20):
        keys = [many.key("a", part, tag=str(number)) for part in ("x", "y")]
        assert await script(keys, ["1"]) is None
        assert await script(keys, ["1"], replicas=1) == (None, 1)
        assert await many.wait(1, 1.0, key=keys[0]) == 1


async def test_keys_of_two_slots_are_no_pipeline(many: Redis) -> None:
    a, b = many.key("a", tag="1"), many.key("b", tag="1")
    assert await many.pipeline(("SET", a, 1), ("INCR", b), ("GET", a)) == [b"OK", 1, b"1"]
    with pytest.raises(ResponseError, match="CROSSSLOT"):
        await many.execute("MGET", many.key("1"), many.key("2"))


async def test_what_is_published_on_one_node_is_heard_on_all(many: Redis) -> None:
    async with many.listen("c") as first, many.listen("c") as second:
        for number in range(10):
            await many.execute("PUBLISH", "c", number)
        for number in range(10):
            for signals in (first, second):
                assert await anext(signals) == ("c", str(number).encode())


async def test_a_slot_that_moves_is_followed_before_during_and_after(many: Redis, nodes: RedisCluster) -> None:
    here, gone = many.key("here", tag="m"), many.key("gone", tag="m")
    script = many.script("return redis.call('INCR', KEYS[1])")
    assert await script([here]) == 1
    to = other(nodes, here)
    nodes.begin_move(here, to)
    assert await script([gone]) == 1  # Asked for at its new server.
    assert await script([gone], replicas=1) == (2, 1)
    assert await script([here]) == 2
    assert await many.pipeline(("GET", here), ("GET", gone), ("INCR", gone)) == [b"2", b"2", 3]
    for node in nodes.nodes[:3]:
        node.command("SCRIPT", "FLUSH")
    # Each learns the script anew, and neither key is looked for at the other's server.
    commands = [script.command([here]), script.command([gone]), ("GET", here), ("GET", gone)]
    assert [int(reply) for reply in await many.pipeline(*commands)] in ([3, 4, 3, 4], [3, 4, 2, 3], [3, 4, 2, 4])
    with pytest.raises((ResponseError, RedisDown), match="TRYAGAIN"):
        await many.execute("MGET", here, gone, timeout=0.5)
    nodes.move(here, to)
    assert await many.execute("MGET", here, gone) == [b"3", b"4"]
    assert nodes.owner(here) is to


async def test_a_node_of_a_cluster_is_no_single_server(nodes: RedisCluster) -> None:
    async with connect(Config(url=nodes.nodes[0].url)) as redis:
        with pytest.raises(RedisDown, match="it is a part of a Cluster; set cluster, not url"):
            await redis.execute("PING")


async def test_the_plain_client_knows_the_cluster_too(many: Redis) -> None:
    for number in range(10):
        await many.client.set(many.key(str(number)), number)
        assert await many.execute("GET", many.key(str(number))) == str(number).encode()


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_a_server_that_goes_is_replaced_by_its_replica(nodes: RedisCluster, how: str) -> None:
    config = nodes.config(socket_timeout=0.5, connect_timeout=0.5)
    async with connect(config) as redis:
        key, elsewhere = redis.key("n"), redis.key("elsewhere")
        while nodes.owner(elsewhere) is nodes.owner(key):
            elsewhere += "x"
        script = redis.script("return redis.call('INCR', KEYS[1])")
        assert await script([key], replicas=1) == (1, 1)
        old = nodes.owner(key)
        getattr(old, how)()
        before, lost = time.monotonic(), 0
        assert await redis.execute("SET", elsewhere, "x") == b"OK"
        assert time.monotonic() - before < 1.0, "the others go on"
        with anyio.fail_after(15):
            while (count := await counted(script, key)) is None:
                lost += 1
        assert 2 <= count <= 2 + lost
        assert time.monotonic() - before < 8.0
        async with redis.listen("c") as signals:
            await redis.execute("PUBLISH", "c", "x")
            assert await anext(signals) == ("c", b"x")
    if how == "kill":
        old.start()
    else:
        old.resume()
    wait_until(
        lambda: all(b"fail" not in line for line in nodes.nodes[-1].raw("CLUSTER", "NODES").split(b"\n")), "back"
    )
    wait_until(lambda: old.command("INFO", "replication").get("master_link_status") == "up", "it is a replica")


async def test_health_names_the_master_that_is_silent(nodes: RedisCluster) -> None:
    async with connect(nodes.config()) as redis:
        await redis.execute("PING")
        assert all(isinstance(it, float) for it in (await redis.ping(2.0)).values())
        assert len(await redis.ping(1.0)) == 3
