from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from tta_agents import (
    AgentCard,
    AgentDeregistered,
    AgentId,
    AgentRegistered,
    AgentRegistry,
    AgentStatusChanged,
    RegistryError,
    Report,
)
from tta_agents.testing import SharedAgentRegistryContract
from tta_agents.testing.echo import eventually
from tta_agents_redis import RedisRegistry, Store
from tta_kernel import Event
from tta_kernel.testing import Shared, until
from tta_redis import Config, Redis, connect
from tta_redis.testing import redis_server

LOG = logging.getLogger("test")
ID = AgentId("a", "1")
TTL = 0.6


class Seen(list[Event]):
    """The events that a registry publishes."""

    def __init__(self) -> None:
        super().__init__()
        self._more = anyio.Event()

    def __call__(self, event: Event) -> None:
        self.append(event)
        self._more.set()
        self._more = anyio.Event()

    async def until(self, kind: type[Event]) -> Any:
        with anyio.fail_after(10):
            while not (found := [event for event in self if isinstance(event, kind)]):
                await self._more.wait()
        return found[0]


def registry_on(redis: Redis, *, ttl: float = 30.0, interval: float = 10.0, seen: Seen | None = None) -> RedisRegistry:
    store = Store(redis, ttl=ttl, state_ttl=60.0, quarantine=60.0)
    return RedisRegistry(redis, store, LOG, Seen() if seen is None else seen, interval=interval, max_state=100)


@asynccontextmanager
async def running(*functions: Callable[[], Any]) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        for function in functions:
            tasks.start_soon(function)
        await anyio.wait_all_tasks_blocked()
        yield
        tasks.cancel_scope.cancel()


def card(status: Any = "idle", process: str = "p", id: AgentId = ID) -> AgentCard:
    return AgentCard(id, status=status, process=process, shared=True)


class TestRedisRegistry(SharedAgentRegistryContract):
    @pytest.fixture
    def registry(self, redis: Redis) -> RedisRegistry:
        return registry_on(redis)

    @pytest.fixture
    def shared(self, redis: Redis) -> Shared[AgentRegistry]:
        return Shared(open_registry, (msgspec.to_builtins(redis.config),))


@asynccontextmanager
async def open_registry(config: dict[str, Any]) -> AsyncIterator[AgentRegistry]:
    async with connect(msgspec.convert(config, Config)) as redis:
        yield registry_on(redis)


async def test_two_processes_see_each_other_s_agents_and_which_are_whose(redis: Redis) -> None:
    here, there = registry_on(redis), registry_on(redis)
    await here.register(card())
    await there.register(card(process="q", id=AgentId("b", "1")))
    snapshot = await here.snapshot()
    assert [str(each.id) for each in snapshot.local] == ["a:1"]
    assert [str(each.id) for each in snapshot.remote] == ["b:1"]


async def test_an_agent_that_is_not_shared_is_unknown_elsewhere(redis: Redis) -> None:
    here, there = registry_on(redis), registry_on(redis)
    await here.register(AgentCard(ID))
    assert len(await here.list()) == 1
    assert len(await there.list()) == 0


async def test_an_agent_lives_while_its_heart_beats_and_no_longer(redis: Redis) -> None:
    here, there = registry_on(redis, ttl=TTL, interval=TTL / 3), registry_on(redis)
    await here.register(card())
    first = await there.get(ID)
    assert first is not None

    async def outlived_its_ttl() -> bool:
        alive = await there.get(ID)
        assert alive is not None
        return alive.seen_at > first.seen_at + TTL

    async with running(here.beat):
        await eventually(outlived_its_ttl)

    async def gone() -> bool:
        return await there.get(ID) is None

    with anyio.fail_after(TTL + 1):
        await eventually(gone)
    assert await redis.execute("HLEN", redis.key("agents", "cards", tag="agents")) == 0


async def test_nothing_is_left_in_redis_when_all_are_gone(redis: Redis) -> None:
    here = registry_on(redis, ttl=TTL)
    await here.register(card(), lambda: Report(card()))
    for part in ("cards", "holders", "expiry"):
        assert 0 < await redis.execute("PTTL", redis.key("agents", part, tag="agents")) <= TTL * 2000
    await here.deregister(ID)
    assert await redis.execute("KEYS", redis.key("agents") + "*") == []


async def test_others_hear_at_once_who_comes_changes_and_leaves(redis: Redis) -> None:
    here, seen = registry_on(redis), Seen()
    there = registry_on(redis, interval=0.05, seen=seen)
    status = "idle"
    async with running(there.watch):
        await there.watching.wait()
        await here.register(card(), lambda: Report(card(status)))
        came = await seen.until(AgentRegistered)
        status = "degraded"
        await here.beat_once()
        changed = await seen.until(AgentStatusChanged)
        await here.deregister(ID)
        left = await seen.until(AgentDeregistered)
    assert came.agent.id == changed.agent == left.agent == ID
    assert (changed.before, changed.after, left.reason) == ("idle", "degraded", "left")
    assert len(seen) == 3


async def test_an_agent_whose_process_vanished_has_expired_within_its_ttl(redis: Redis) -> None:
    here, seen = registry_on(redis, ttl=TTL), Seen()
    there = registry_on(redis, seen=seen)
    async with running(there.watch):
        await there.watching.wait()
        await here.register(card())
        await seen.until(AgentRegistered)
        with anyio.fail_after(TTL + 0.5):
            expired = await seen.until(AgentDeregistered)
    assert (expired.agent, expired.reason) == (ID, "expired")


async def test_what_was_there_before_is_no_news(redis: Redis) -> None:
    here, seen = registry_on(redis), Seen()
    await here.register(card())
    there = registry_on(redis, seen=seen)
    async with running(there.watch):
        await there.watching.wait()
        await here.register(card(id=AgentId("b", "1")))
        await seen.until(AgentRegistered)
    assert [event.agent.id.type for event in seen if isinstance(event, AgentRegistered)] == ["b"]


async def test_the_newest_has_a_name_that_two_processes_use(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    old, new = registry_on(redis), registry_on(redis)
    await old.register(card(process="old"))
    await new.register(card(process="new"))
    await old.beat_once()
    await old.beat_once()
    found = await old.get(ID)
    assert found is not None
    assert found.process == "new"
    assert caplog.text.count("under the same name") == 1
    assert old.displaced == {ID}
    assert not await old.deregister(ID)
    assert await new.get(ID) is not None
    assert await new.deregister(ID)


async def test_state_is_there_for_the_next_of_its_name_and_bounded(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    state = b"first"
    here = registry_on(redis)
    await here.register(card(), lambda: Report(card(), state))
    state = b"x" * 101
    await here.beat_once()
    await here.beat_once()
    await here.deregister(ID)
    assert await registry_on(redis).state(ID) == b"first"
    assert caplog.text.count("101 bytes") == 1


async def test_the_heart_goes_on_when_redis_was_away() -> None:
    with redis_server(own=True) as server:
        async with connect(server.config(command_timeout=0.3)) as redis:
            here, there = registry_on(redis, ttl=5.0, interval=0.05), registry_on(redis)
            await here.register(card())
            async with running(here.beat):
                server.kill()

                await until(lambda: bool(here.trouble))
                with pytest.raises(RegistryError):
                    await there.list()
                server.restart()  # It has forgotten everything.

                async def back() -> bool:
                    try:
                        return await there.get(ID) is not None
                    except RegistryError:
                        return False

                await eventually(back)

                await until(lambda: not here.trouble)


async def test_a_value_that_is_no_card_is_quarantined_with_its_reason_and_the_agent_comes_back(redis: Redis) -> None:
    here = registry_on(redis)
    await here.register(card())
    await here.register(card(id=AgentId("b", "1")))
    cards = redis.key("agents", "cards", tag="agents")
    await redis.execute("HSET", cards, "a/1", b"\xff what is this")
    assert [str(each.id) for each in await here.list()] == ["b:1"]
    [note] = await here._store.quarantined()
    assert note["where"] == "a/1"
    assert note["reason"]
    await here.beat_once()
    assert len(await here.list()) == 2


@pytest.mark.parametrize("part", ["cards", "holders", "expiry", "foreign"])
async def test_a_key_of_another_type_is_moved_out_of_the_way(redis: Redis, part: str) -> None:
    key = redis.key("agents", part, tag="agents")
    await redis.execute("SET", key, "somebody else's")
    here = registry_on(redis)
    await here.register(card())
    assert len(await here.list()) == 1
    assert await redis.execute("GET", f"{key}:quarantined") == b"somebody else's"
    assert await redis.execute("PTTL", f"{key}:quarantined") > 0


@pytest.mark.parametrize("note", [b"somebody else's", b"\xff\n\xfe\nx\ny", b"9" * 400 + b"\na\nb\nc", b""])
async def test_what_is_no_note_among_those_of_what_was_quarantined_is_said_and_ends_nothing(
    redis: Redis, note: bytes
) -> None:
    here = registry_on(redis)
    await redis.execute("LPUSH", redis.key("agents", "foreign", tag="agents"), note)
    async with running(here.watch):
        await here.watching.wait()
    [found] = await here._store.quarantined()
    assert found["reason"] == "this is no note of ours"


@pytest.mark.parametrize("holder", [b"9" * 400 + b":p", b"9" * 5000 + b":p", b"\xff", b""])
async def test_a_card_of_which_nobody_knows_when_it_was_seen_is_listed(redis: Redis, holder: bytes) -> None:
    here = registry_on(redis)
    await here.register(card())
    await redis.execute("HSET", redis.key("agents", "holders", tag="agents"), "a/1", holder)
    assert [each.seen_at for each in await here.list()] == [0.0]


@pytest.mark.parametrize(
    "unfit",
    [
        {"description": 5},
        {"resources": {"memory": 10**30}},
        {"status": "asleep"},
    ],
)
async def test_a_card_that_others_would_quarantine_is_refused_with_its_reason(
    redis: Redis, unfit: dict[str, Any]
) -> None:
    here = registry_on(redis)
    with pytest.raises(ValueError, match="agent a:1 can't be announced"):
        await here.register(msgspec.structs.replace(card(), **unfit))
    assert await registry_on(redis).list() == []


async def test_a_heartbeat_that_is_sent_again_brings_nobody_back_who_has_left(redis: Redis) -> None:
    here = registry_on(redis)
    await here.register(card())
    await redis.execute("SCRIPT", "FLUSH")
    await here.deregister(AgentId("nobody"))  # So the server knows how to leave, and not how to beat.
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(here.beat_once)
        tasks.start_soon(here.deregister, ID)
    assert await here.list() == []


async def test_a_state_of_another_type_is_none(redis: Redis) -> None:
    key = redis.key("agents", "state", "a", "1", tag="agents")
    await redis.execute("LPUSH", key, "x")
    assert await registry_on(redis).state(ID) is None
    assert await redis.execute("TYPE", f"{key}:quarantined") == b"list"


async def test_a_state_that_is_refused_is_quarantined_with_its_reason(redis: Redis) -> None:
    here = registry_on(redis)
    await here.register(card(), lambda: Report(card(), b"damaged"))
    await here.refuse_state(ID, "it raised")
    key = redis.key("agents", "state", "a", "1", tag="agents")
    assert await redis.execute("GET", f"{key}:quarantined") == b"damaged"
    assert await redis.execute("PTTL", f"{key}:quarantined") > 0
    assert "it raised" in (await here._store.quarantined())[0]["reason"]


async def test_of_many_cards_only_those_that_changed_are_read_again_and_those_that_went_forgotten(redis: Redis) -> None:
    here, there = registry_on(redis), registry_on(redis)
    ids = [AgentId("a", str(number)) for number in range(120)]
    async with anyio.create_task_group() as tasks:
        for id in ids:
            tasks.start_soon(here.register, card(id=id))
    before = {each.id: each for each in await there.list()}
    await here.register(card("busy"))
    after = {each.id: each for each in await there.list()}
    assert len(before) == len(after) == 120
    assert [str(id) for id in ids if before[id].status != after[id].status] == ["a:1"]
    assert sum(before[id].resources is after[id].resources for id in ids) == 119
    for id in ids:
        await here.deregister(id)
    assert await there.list() == []
    assert there._store._known == {}


async def test_a_name_that_is_no_text_is_nobody_s(redis: Redis) -> None:
    here = registry_on(redis)
    await here.register(card())
    assert await here.list("\udcff") == []
    assert await here.get(AgentId("a", "\udcff")) is None
