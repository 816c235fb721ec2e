"""The world of a story lies in its session and in the store of worlds: which one counts, and how both agree again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from tta_agents import AgentPlugin, AgentSpec, StepContext
from tta_kernel import Event, Kernel, NoConfig, Plugin
from tta_orchestration import ORCHESTRATION, StoreFailed
from tta_orchestration.testing import telling
from tta_safety import About, Channel, Verdict
from tta_sessions import SESSIONS, Admission, Session
from tta_sessions.memory import MemorySessions
from tta_world import (
    WORLD,
    Edit,
    Head,
    Patch,
    Snapshot,
    World,
    WorldError,
    WorldMemory,
    WorldPlugin,
    WorldStore,
    diff,
)
from tta_world.memory import MemoryWorlds
from tta_world.store import same
from tta_world.testing import some_world

SAFE = Verdict(status="checked", level="safe")
BLOCKED = Verdict(status="checked", level="blocked", risk=1.0)


class Scene(msgspec.Struct, frozen=True):
    text: str
    world: World | None = None


class Told(msgspec.Struct, frozen=True):
    text: str
    world: World


class Meanwhile:
    """What somebody else does while a turn is told."""

    act: Callable[[], Awaitable[object]] | None = None


def teller(meanwhile: Meanwhile) -> type[Any]:
    class WorldTeller(AgentPlugin[NoConfig]):
        """Begins with a small world, and lets five minutes pass in a turn."""

        spec = AgentSpec("teller", "tells", Scene, Told, timeout=2.0)

        async def process(self, request: Scene, ctx: StepContext, /) -> Any:
            if meanwhile.act is not None:
                await meanwhile.act()
            world = request.world or some_world()
            passed = msgspec.structs.replace(world, turn=world.turn + 1, minutes=world.minutes + 5)
            await ctx.emit("Time passes.")
            return Told("Time passes.", passed)

    return WorldTeller


class Story:
    """A story in a session, its world, and the events that were published."""

    def __init__(self, kernel: Kernel, events: list[Event], meanwhile: Meanwhile) -> None:
        self.kernel, self.events, self.meanwhile = kernel, events, meanwhile

    @property
    def worlds(self) -> WorldStore:
        return self.kernel.get(WORLD)

    async def turn(self) -> tuple[World, int]:
        """Play a turn; return the world that the session has then, and its version."""
        response = await self.kernel.get(ORCHESTRATION).process_user_input("wait", "s", user="anna")
        assert response.kept
        context = response.updated_context
        return msgspec.convert(context["world"], World), context["world_version"]

    async def stored(self) -> tuple[World, int]:
        found = await self.worlds.get("s")
        assert found is not None
        return found.world, found.head.version

    def told(self) -> list[str]:
        """Return what was told of both worlds, in short."""
        found = [event for event in self.events if type(event).__name__ in ("WorldRepaired", "WorldConflicted")]
        return [f"{getattr(event, 'part', 'conflicted')} {getattr(event, 'version', 0)}" for event in found]


@asynccontextmanager
async def a_story(check: Any = lambda *_: SAFE, **more: Any) -> AsyncIterator[Story]:
    events: list[Event] = []
    meanwhile = Meanwhile()

    class Listener(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Any) -> AsyncIterator[None]:
            async def hear(event: Event) -> None:
                events.append(event)

            ctx.on(Event, hear)
            yield

    plugins: dict[str, type[Plugin[Any]]] = {"world": WorldPlugin, "listener": Listener}
    if WORLD not in more.get("services", {}):
        plugins["world-memory"] = WorldMemory
    async with telling(check, teller=teller(meanwhile), plugins=plugins, **more) as kernel:
        yield Story(kernel, events, meanwhile)


async def test_after_each_turn_the_store_has_the_session_s_world() -> None:
    async with a_story() as story:
        for number in (1, 2, 3):
            in_session, version = await story.turn()
            in_store, stored = await story.stored()
            assert same(in_session, in_store)
            assert (version, stored, in_session.turn) == (number, number, number)
        history = await story.worlds.history("s")
        assert [len(each.patch.edits) for each in history] == [1, 2, 2]
    assert story.told() == []


async def test_a_later_version_in_the_store_is_what_the_story_goes_on_from() -> None:
    async with a_story() as story:
        await story.turn()
        await story.worlds.apply("s", 1, Patch((Edit(("weather",), "rainy"),)), "by somebody else", owner="anna")
        world, version = await story.turn()
        assert (world.weather, world.turn, version) == ("rainy", 2, 3)
        assert (await story.stored())[1] == 3
    assert story.told() == ["session 2"]


async def test_a_store_that_has_lost_a_world_gets_it_again() -> None:
    async with a_story() as story:
        await story.turn()
        await story.turn()
        await story.worlds.delete("s")
        world, version = await story.turn()
        in_store, stored = await story.stored()
        assert same(world, in_store)
        assert (version, stored) == (3, 3)
    assert story.told() == ["store 3"]


async def test_of_two_different_worlds_of_one_version_the_session_s_counts() -> None:
    async with a_story() as story:
        await story.turn()
        await story.worlds.delete("s")
        other = some_world(weather="rainy")
        await story.worlds.restore(Snapshot(Head("s", 1, "x", "anna"), other))
        world, version = await story.turn()
        in_store, stored = await story.stored()
        assert (world.weather, same(world, in_store), version, stored) == ("clear", True, 2, 2)
        await story.turn()
    assert story.told() == ["conflicted 1"]


async def test_what_somebody_else_changes_during_a_turn_is_merged_where_both_have_their_place() -> None:
    async with a_story() as story:
        await story.turn()

        async def rain() -> object:
            story.meanwhile.act = None
            return await story.worlds.apply("s", 1, Patch((Edit(("weather",), "rainy"),)), "rain", owner="anna")

        story.meanwhile.act = rain
        await story.turn()
        in_store, stored = await story.stored()
        assert (in_store.weather, in_store.turn, stored) == ("rainy", 2, 3)
        world, version = await story.turn()
        assert (world.weather, world.turn, version) == ("rainy", 3, 4)
    assert story.told() == ["session 3"]


async def test_where_both_have_changed_the_same_the_session_s_counts_and_it_is_told() -> None:
    async with a_story() as story:
        await story.turn()

        async def elsewhen() -> object:
            story.meanwhile.act = None
            return await story.worlds.apply("s", 1, Patch((Edit(("minutes",), 600),)), "clock", owner="anna")

        story.meanwhile.act = elsewhen
        world, _ = await story.turn()
        assert (world.minutes, (await story.stored())[0].minutes) == (10, 600)
        world, version = await story.turn()
        assert (world.minutes, version) == (15, 3)
        assert same(world, (await story.stored())[0])
    assert story.told() == ["conflicted 2", "conflicted 2"]


async def test_a_world_from_the_store_is_checked_before_the_session_has_it() -> None:
    def check(text: str, channel: Channel, about: About) -> Verdict:
        return BLOCKED if channel == "tool" and "cruel" in text else SAFE

    async with a_story(check) as story:
        before, _ = await story.turn()
        bad = msgspec.structs.replace(before.things["coin"], name="cruel words")
        patch = diff(before, msgspec.structs.replace(before, things={**before.things, "coin": bad}))
        await story.worlds.apply("s", 1, patch, "by somebody else", owner="anna")
        world, version = await story.turn()
        assert (world.things["coin"].name, version) == ("coin", 1)
    assert story.told() == []


async def test_another_person_s_world_is_neither_told_nor_kept_under_a_session_s_name() -> None:
    async with a_story() as story:
        await story.worlds.restore(Snapshot(Head("s", 9, "x", "ben"), some_world(weather="rainy")))
        world, version = await story.turn()
        assert (world.weather, version) == ("clear", 1)
        head = await story.worlds.head("s")
        assert head is not None
        assert (head.owner, head.version) == ("anna", 1)
        assert await story.worlds.forget("ben") == 0


async def test_a_person_who_is_forgotten_while_a_turn_is_kept_leaves_no_world() -> None:
    class Forgetting(MemorySessions):
        async def commit(self, session: Session, admission: Admission | None = None) -> Session:
            committed = await super().commit(session, admission)
            await self.forget("anna")
            return committed

    sessions = Forgetting(lambda: 1.0, ttl=100.0, limit=10)
    async with a_story(services={SESSIONS: sessions}) as story:
        await story.turn()
        assert await story.worlds.head("s") is None


async def test_a_store_that_is_away_fails_no_turn_and_is_repaired_when_it_is_back() -> None:
    class Away(MemoryWorlds):
        away = True

        async def head(self, session: str) -> Head | None:
            if self.away:
                raise WorldError("the store can't be reached")
            return await super().head(session)

    worlds = Away(lambda: 1.0, ttl=100.0, limit=10)
    services = {SESSIONS: MemorySessions(lambda: 1.0, ttl=100.0, limit=10), WORLD: worlds}
    async with a_story(services=services) as story:
        assert [(await story.turn())[1] for _ in range(2)] == [1, 2]
    failed = [(event.part, event.code) for event in story.events if isinstance(event, StoreFailed)]
    assert failed == [("world.open", "unavailable")]  # The second turn didn't wait for it.
    worlds.away = False
    async with a_story(services=services) as story:
        world, version = await story.turn()
        assert same(world, (await story.stored())[0])
        assert (version, (await story.stored())[1]) == (3, 3)
    assert story.told() == ["store 3"]


async def test_a_store_that_takes_its_time_does_not_make_a_turn_look_lost() -> None:
    class Slow(MemoryWorlds):
        async def apply(self, *args: Any, **kwargs: Any) -> Any:
            await anyio.sleep(0.5)  # Much longer than the turn is held for.
            return await super().apply(*args, **kwargs)

    worlds = Slow(lambda: 1.0, ttl=100.0, limit=10)
    async with a_story(services={WORLD: worlds}, hold=0.1) as story:
        assert [(await story.turn())[1] for _ in range(2)] == [1, 2]
        assert (await story.stored())[1] == 2


@pytest.mark.parametrize("context", [{"world": {"turns": 7}}, {"world": "text", "world_version": 3}])
async def test_a_world_of_another_kind_is_the_workflow_s_own_business(context: dict[str, Any]) -> None:
    async with telling(lambda *_: SAFE, plugins={"world": WorldPlugin, "world-memory": WorldMemory}) as kernel:
        await kernel.get(SESSIONS).commit(Session("s", "anna", context=context))
        response = await kernel.get(ORCHESTRATION).process_user_input("wait", "s", user="anna")
        assert response.kept
        assert await kernel.get(WORLD).head("s") is None
