"""What every keeper of a world keeps to: subclass `KeepingContract` with a fixture ``keep``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tta_world import Command, Entity, Intent, World, visible

from .create import new_world
from .plugin import In, Out

Keep = Callable[[In], Awaitable[Out]]

WEST = Intent("go", slots={"direction": Entity("west", "direction", "west")})
FLY = Intent("impossible", commands=(Command("impossible"),), text="I fly to the moon and open every door")
BOTH = Intent("look", commands=(Command("look"), Command("impossible")), text="I look, and then juggle")
INTENTS = {"west": WEST, "impossible": FLY, "both": BOTH, "look": Intent("look"), "unheard of": Intent("gargle")}


class KeepingContract:
    """What holds of every keeper, whatever is asked, and whoever has ideas."""

    @pytest.fixture
    def keep(self) -> Keep:
        """Return what carries out an intent; for the subclass to say."""
        raise NotImplementedError

    @pytest.mark.parametrize("name", INTENTS)
    async def test_nothing_comes_into_the_world_or_goes_out_of_it(self, keep: Keep, name: str) -> None:
        world = new_world(1)
        after = (await keep(In(INTENTS[name], world))).world
        assert set(after.things) == set(world.things)
        assert set(after.characters) == set(world.characters)
        assert _exits(after) == _exits(world)

    @pytest.mark.parametrize("name", INTENTS)
    async def test_what_is_locked_or_out_of_sight_stays_so(self, keep: Keep, name: str) -> None:
        world = new_world(1)
        after = (await keep(In(INTENTS[name], world))).world
        locked = {thing.id for thing in world.things.values() if "locked" in thing.states}
        assert locked
        assert all("locked" in after.things[id].states and "open" not in after.things[id].states for id in locked)
        seen = {thing.id for thing in visible(world)}
        assert {t.id: t.at for t in world.things.values() if t.id not in seen} == {
            t.id: t.at for t in after.things.values() if t.id not in seen
        }

    @pytest.mark.parametrize("name", INTENTS)
    async def test_there_is_something_to_tell_and_the_turn_counts(self, keep: Keep, name: str) -> None:
        world = new_world(1)
        out = await keep(In(INTENTS[name], world))
        assert out.change.deeds
        assert out.world.turn == out.change.turn == 1

    async def test_the_same_call_twice_comes_to_the_same(self, keep: Keep) -> None:
        request = In(FLY, new_world(1))
        assert await keep(request) == await keep(request)


def _exits(world: World) -> dict[str, list[tuple[str, str, str]]]:
    return {place.id: [(e.direction, e.to, e.door) for e in place.exits] for place in world.places.values()}
