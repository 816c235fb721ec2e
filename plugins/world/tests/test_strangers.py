"""A store of worlds that misbehaves, whoever wrote it: the story goes on from the session's world, in time."""

from __future__ import annotations

import logging

import anyio
import msgspec
import pytest

from tta_kernel import Event
from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers
from tta_world import Head, WorldError
from tta_world.guard import guard
from tta_world.memory import MemoryWorlds
from tta_world.opening import WorldKeeper
from tta_world.testing import some_world

LONG = 10.0
CONTEXT = {"world": msgspec.to_builtins(some_world()), "world_version": 3}


class Odd(MemoryWorlds):
    """Worlds in memory, whose method ``name`` does what a stranger does."""

    def __init__(self, stranger: Stranger, name: str) -> None:
        super().__init__(lambda: 0.0, ttl=1000, limit=10)
        setattr(self, name, stranger)


@pytest.mark.boundary("tta_world.WorldStore")
@pytest.mark.parametrize("name", ["head", "restore"])
@pytest.mark.parametrize("stranger", strangers("async", returns=Head), ids=str)
async def test_whatever_a_store_does_the_session_s_world_counts(stranger: Stranger, name: str) -> None:
    failed: list[tuple[str, ...]] = []
    keeper = WorldKeeper(
        Odd(stranger, name), logging.getLogger("tta.test"), lambda event: None,
        lambda *what: failed.append(what), limit=LIMIT,
    )  # fmt: skip
    with anyio.fail_after(LONG):
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                await keeper.keep("s", "anna", await keeper.open("s", "anna", CONTEXT), CONTEXT, "run")
            return
        opened = await keeper.open("s", "anna", CONTEXT)
        await keeper.keep("s", "anna", opened, CONTEXT, "run")
    assert (opened.plain, opened.version) == (CONTEXT["world"], 3)
    is_right = name == "head" and stranger.name == "returns None"
    if stranger.outcome in (Outcome.FAILURE, Outcome.TIME_LIMIT) and not is_right:
        assert failed == [(f"world.{'open' if name == 'head' else 'keep'}", "unavailable", "s", "anna")]
        # A store that has failed rests: the next turn doesn't wait for it.
        assert (await keeper.open("s", "anna", CONTEXT)).found == "away"


async def test_an_answer_about_another_session_is_none() -> None:
    async def head(session: str) -> Head:
        return Head("other", 1)

    odd = MemoryWorlds(lambda: 0.0, ttl=1000, limit=10)
    odd.head = head  # type: ignore[method-assign]
    with pytest.raises(WorldError, match="answered with Head that is wrong"):
        await guard(odd, limit=LONG).head("s")


async def test_events_are_told_of_what_was_repaired() -> None:
    events: list[Event] = []
    store = MemoryWorlds(lambda: 0.0, ttl=1000, limit=10)
    keeper = WorldKeeper(store, logging.getLogger("tta.test"), events.append, lambda *what: None, limit=LONG)
    opened = await keeper.open("s", "anna", CONTEXT)
    assert await keeper.keep("s", "anna", opened, CONTEXT, "run")
    assert (opened.found, [type(event).__name__ for event in events]) == ("older", ["WorldRepaired"])
    assert (await keeper.open("s", "anna", CONTEXT)).found == "same"
