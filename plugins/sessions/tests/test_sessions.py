from __future__ import annotations

import pytest

from tta_kernel import Kernel, KernelSettings, PluginSettings
from tta_kernel.testing.numbers import NO_COUNTS, NO_DURATIONS
from tta_sessions import SESSIONS, Admission, Session, SessionsFull, SessionsMemory, SessionsPlugin
from tta_sessions.hookspecs import forget
from tta_sessions.memory import MemorySessions
from tta_sessions.testing import Ending, RoomContract, SingleProcessSessionsContract


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestMemorySessions(SingleProcessSessionsContract):
    @pytest.fixture
    def sessions(self) -> MemorySessions:
        return MemorySessions(Clock(), ttl=60.0, limit=1000)

    @pytest.fixture
    def small(self) -> MemorySessions:
        return MemorySessions(Clock(), ttl=60.0, limit=10, max_size=2000)

    @pytest.fixture
    def ending(self) -> Ending:
        clock = Clock()

        async def pass_ttl() -> None:
            clock.now += 61

        return MemorySessions(clock, ttl=60.0, limit=10), pass_ttl


class TestRoomInMemory(RoomContract):
    @pytest.fixture
    def crowded(self) -> MemorySessions:
        return MemorySessions(Clock(), ttl=60.0, limit=3, per_user=2)


async def test_a_session_ends_a_while_after_its_last_commit() -> None:
    clock = Clock()
    sessions = MemorySessions(clock, ttl=60.0, limit=10)
    first = await sessions.commit(Session("a"))
    clock.now += 50
    await sessions.commit(first)
    clock.now += 60
    assert await sessions.get("a") is not None
    clock.now += 1
    assert await sessions.get("a") is None
    assert (await sessions.commit(Session("a"))).version == 1


async def test_a_session_that_has_ended_makes_room() -> None:
    clock = Clock()
    sessions = MemorySessions(clock, ttl=60.0, limit=1)
    await sessions.commit(Session("a", "u"))
    clock.now += 61
    await sessions.commit(Session("b", "u"))
    assert (await sessions.count(), await sessions.count("u")) == (1, 1)


async def test_the_hook_forget_deletes_what_the_plugin_keeps_of_a_person() -> None:
    async with Kernel(plugins={"sessions": SessionsPlugin, "sessions-memory": SessionsMemory}) as kernel:
        sessions = kernel.get(SESSIONS)
        await sessions.commit(Session("a", "u"))
        await sessions.commit(Session("b", "v"))
        assert await kernel.ask(forget, "u") == {"sessions-memory": 1}
        assert [bool(await sessions.get(id)) for id in "ab"] == [False, True]


async def test_the_config_bounds_the_sessions() -> None:
    settings = KernelSettings(plugins={"sessions-memory": PluginSettings(config={"ttl": "1h", "limit": 1})})
    async with Kernel(settings, plugins={"sessions": SessionsPlugin, "sessions-memory": SessionsMemory}) as kernel:
        sessions = kernel.get(SESSIONS)
        await sessions.commit(Session("a"))
        with pytest.raises(SessionsFull):
            await sessions.commit(Session("b"))
        assert await sessions.get("a") is not None


async def test_the_text_of_a_turn_goes_before_the_turn_does() -> None:
    clock = Clock()
    sessions = MemorySessions(clock, ttl=600.0, limit=10, admission_ttl=60.0)
    await sessions.admit(Admission("a", "u", "1", "look", "h"), 1.0)
    clock.now += 60
    first = (await sessions.hold("a", "", "h", 1.0)).first
    assert first is not None
    assert first.text == "look"
    clock.now += 1
    first = (await sessions.hold("a", "1", "h", 1.0)).first
    assert first is not None
    assert (first.text, first.run) == ("", "1")
    clock.now += 600
    assert (await sessions.hold("a", "1", "h", 1.0)).first is None


@pytest.mark.parametrize("seconds", [*NO_DURATIONS, 0.0])
def test_a_time_to_live_that_is_no_time_is_a_mistake(seconds: float) -> None:
    with pytest.raises(ValueError, match="ttl"):
        MemorySessions(Clock(), ttl=seconds, limit=1)


@pytest.mark.parametrize("name", ["limit", "max_size", "per_user"])
@pytest.mark.parametrize("value", NO_COUNTS)
def test_a_limit_that_is_no_number_is_a_mistake(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=name):
        MemorySessions(Clock(), **{"ttl": 60.0, "limit": 1, name: value})  # type: ignore[arg-type]
