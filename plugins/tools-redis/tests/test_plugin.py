"""The plugin as a deployment has it, and what it makes of what isn't its own."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from tta_kernel import Health, Kernel
from tta_kernel.hookspecs import health, snapshot
from tta_kernel.testing import problems, running
from tta_redis import Redis, RedisPlugin, connect
from tta_redis.testing import RedisServer, redis_server, sentinel
from tta_tools import TOOL_STORE, NoSuchApproval, ToolStore, ToolStoreError
from tta_tools.figures import Figures
from tta_tools.testing.store import approval, claim, spec
from tta_tools_redis import RedisToolStore, ToolsRedis
from tta_tools_redis.layout import RegistryKeys, approval_keys, ledger

README = Path(__file__).resolve().parents[1] / "README.md"
FAR = 4_000_000_000.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as found:
        yield found


def kernel(server: RedisServer, config: Mapping[str, Any]) -> Kernel:
    return running(
        {"redis": RedisPlugin, "tools-redis": ToolsRedis},
        configs={"redis": {"url": server.url}, "tools-redis": config},
    )


async def test_tools_and_what_their_calls_came_to_outlive_their_process(server: RedisServer) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    config = msgspec.yaml.decode(example)["plugins"]["tools-redis"]["config"]
    async with kernel(server, config) as one:
        store = one.get(TOOL_STORE)
        registered = await store.register(spec())
        await claim(store, by="t-1")
        await store.keep("k", "t-1", b"six", ttl=600)
        assert (await one.ask(snapshot))["tools-redis"] == {"tools.stored": 1}
    async with kernel(server, config) as two:
        store = two.get(TOOL_STORE)
        assert store.durable
        assert await store.get("dice", "1.0.0") == registered.spec
        assert (await claim(store, by="t-2")).value == b"six"


async def test_what_too_few_replicas_have_counts_and_degrades_the_health(server: RedisServer) -> None:
    async with kernel(server, {"wait_replicas": 1, "wait_timeout": "50ms"}) as k:
        store = k.get(TOOL_STORE)
        assert (await store.register(spec("coin.flip"))).new
        found = (await k.ask(health))["tools-redis"]
        with pytest.raises(ToolStoreError, match="forget once more"):
            await store.forget("nobody-else")
    assert isinstance(found, Health)
    assert (found.status, found.detail) == ("degraded", "0 of 1 replicas confirmed the last commit in time")


def test_an_unknown_key_is_refused_before_anything_starts() -> None:
    [problem, *_] = problems(ToolsRedis, config={"colour": "blue"})
    assert problem.startswith("plugins.tools-redis.config.colour: ")


async def test_a_change_in_one_process_is_heard_in_another(redis: Redis) -> None:
    one, two = RedisToolStore(redis), RedisToolStore(redis, poll=60)
    number = (await two.changes(0)).number
    async with two.listening():
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one.register, spec())
                assert (await two.changes(number, wait=50)).names == ("dice",)


async def test_changes_that_are_too_old_to_be_named_concern_all_tools(redis: Redis) -> None:
    store, keys = RedisToolStore(redis), RegistryKeys(redis)
    await store.register(spec())
    await redis.execute("ZADD", keys.changes, *[part for at in range(1000) for part in (2, f"tool_{at}")])
    await redis.execute("HSET", keys.changed, "number", 2)
    await store.register(spec("coin"))
    assert await redis.execute("ZCARD", keys.changes) == 1000
    assert (await store.changes(0)).names is None
    assert "coin" in ((await store.changes(2)).names or ())


async def test_what_can_t_be_read_makes_room_and_is_set_aside(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    store, keys = RedisToolStore(redis), RegistryKeys(redis)
    for name in ("dice", "coin", "card"):
        await store.register(spec(name))
    await redis.execute("HSET", keys.tool("dice:1.0.0"), "packed", b"\xc1")
    await redis.execute("HSET", keys.tool("coin:1.0.0"), "format", "2")
    assert [each.name for each in (await store.page()).specs] == ["card"]
    assert await redis.execute("HGET", keys.broken("dice:1.0.0"), "packed") == b"\xc1"
    assert (await store.register(spec("dice"))).new
    with pytest.raises(ToolStoreError, match=r"coin:1\.0\.0 was written by a newer release, in format 2"):
        await store.register(spec("coin"))
    await redis.execute("HSET", keys.tool("dice:1.0.0"), "seen", "yesterday")
    assert (await store.register(spec("dice"))).new
    assert caplog.text.count("can't be read, and is set aside") == 2


async def test_a_wrong_type_under_a_key_is_an_error_of_the_capability(redis: Redis) -> None:
    store, keys = RedisToolStore(redis), RegistryKeys(redis)
    await redis.execute("LPUSH", keys.tool("dice:1.0.0"), "x")
    with pytest.raises(ToolStoreError, match="the store of tools"):
        await store.register(spec())
    assert await redis.execute("ZCARD", keys.index) == 0


async def test_an_approval_that_can_t_be_read_is_passed_over(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    store = RedisToolStore(redis)
    await store.ask(approval("a-1", "b-1", expires_at=FAR))
    await store.ask(approval("a-2", "b-2", expires_at=FAR))
    await redis.execute("HSET", approval_keys(redis)[0], "a-1", b"\xc1what a person wrote")
    assert [each.id for each in (await store.approvals()).approvals] == ["a-2"]
    with pytest.raises(NoSuchApproval):
        await store.decide("a-1", approved=True, by="b", at=FAR)
    assert "person wrote" not in caplog.text


async def test_a_call_that_is_sent_twice_is_done_once(redis: Redis) -> None:
    store, keys = RedisToolStore(redis), RegistryKeys(redis)
    arguments = store._registry._arguments(spec())
    places = store._registry._places("dice:1.0.0")
    answers = [await store._registry._register(places, arguments) for _ in range(2)]
    assert [answer[0] for answer in answers] == [b"new", b"new"]
    assert await redis.execute("HGET", keys.changed, "number") == b"1"
    await store.ask(approval(expires_at=FAR))
    await store.decide("a-1", approved=True, by="dr b", at=1.0)
    approvals = store._approvals
    taken = [await approvals._take(approvals._approvals, ["b-1", 0, "me"]) for _ in range(2)]
    assert taken[0] == taken[1] != []
    assert await approvals._take(approvals._approvals, ["b-1", 0, "another"]) == []


async def test_what_is_forgotten_or_over_leaves_no_key(redis: Redis) -> None:
    store = RedisToolStore(redis)
    # Whose names begin alike, or hold what separates names from keys.
    for owner in ("anna", "anna b", "anna\x1fb", "ann"):
        await claim(store, f"k-{owner}", owner=owner, lease=0.5, ttl=0.5)
        await store.put(f"c-{owner}", b"x", ttl=0.5, owner=owner)
    now = float((await redis.execute("TIME"))[0])
    await store.ask(approval(owner="anna", expires_at=now + 600))
    assert await store.forget("anna") == 3
    assert await store.fetch("c-anna") is None
    assert [await store.fetch(f"c-{owner}") for owner in ("anna b", "anna\x1fb", "ann")] == [b"x"] * 3
    assert await store.forget("anna\x1fb") == 2
    with anyio.fail_after(20):
        while await redis.execute("KEYS", f"{redis.prefix}:*"):  # noqa: ASYNC110 - Redis ends them, and tells nobody
            await anyio.sleep(0.05)


async def test_values_that_make_room_are_those_that_end_first(redis: Redis) -> None:
    store = RedisToolStore(redis, most=100, size=1000)
    for number in range(4):
        await store.put(f"c-{number}", b"x" * 400, ttl=60 + number, owner="")
    assert [await store.fetch(f"c-{number}") is not None for number in range(4)] == [False, False, True, True]
    await store.put("c-3", b"x" * 1001, ttl=60, owner="")
    assert await store.fetch("c-3") is None
    assert await redis.execute("GET", ledger(redis, "results")[-1]) == b"400"


async def test_figures_of_tools_beyond_the_bound_are_left_out(redis: Redis) -> None:
    store = RedisToolStore(redis, most=1)
    await store.count({"dice:1.0.0": Figures(successes=1), "coin:1.0.0": Figures(successes=1)})
    await store.count({"dice:1.0.0": Figures(successes=2)})
    assert await store.figures() == {"dice:1.0.0": Figures(successes=3)}


async def test_a_store_that_is_gone_is_an_error_of_the_capability(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    values = {
        "spec": spec(), "deprecate_before": 0.0, "prune_before": 0.0, "ttl": 60.0, "lease": 1.0, "again": False,
        "approval": approval(), "approved": True, "at": 1.0, "figures": {"dice:1.0.0": Figures(successes=1)},
        "value": b"x", "after": 0,
    }  # fmt: skip
    with redis_server(own=True) as server:
        async with connect(server.config(command_timeout=0.5)) as redis:
            store = RedisToolStore(redis)
            await store.register(spec())
            server.kill()
            for name in [name for name in vars(ToolStore) if not name.startswith("_") and name != "durable"]:
                method = getattr(store, name)
                wanted = [each for each in inspect.signature(method).parameters.values() if each.default is each.empty]
                given = {each.name: values.get(each.name, "word") for each in wanted}
                with pytest.raises(ToolStoreError, match="the store of tools"):
                    await method(**given)


async def test_what_replicas_have_confirmed_outlives_its_master() -> None:
    with sentinel() as several:
        async with connect(several.config(socket_timeout=1.0)) as redis:
            store = RedisToolStore(redis, wait_replicas=1, wait_timeout=5.0)
            await store.register(spec())
            await claim(store, by="t-1")
            assert store.unconfirmed == ""
            several.master().kill()
            assert await store.get("dice", "1.0.0") is not None
            assert (await claim(store, by="t-2")).state == "running"
