"""A small world for tests, and changes of it."""

from __future__ import annotations

from typing import Any

import msgspec

from tta_world.model import PLAYER, Character, Exit, Place, Player, Thing, World
from tta_world.patch import Patch, diff

PLACES = (
    Place("hall", "hall", exits=(Exit("north", "cellar", door="hatch"), Exit("up", "loft", needs_light=True))),
    Place("cellar", "cellar", traits=("dark",), exits=(Exit("south", "hall"),)),
    Place("loft", "loft", preposition="in", exits=(Exit("out", "roof"),)),
    Place("roof", "roof"),
    Place("island", "island"),
)
THINGS = (
    Thing("lamp", "lamp", PLAYER, traits=("portable", "lamp"), states=("lit",)),
    Thing("hatch", "hatch", "hall", traits=("door",)),
    Thing("chest", "chest", "loft", traits=("container",)),
    Thing("coin", "coin", "chest", traits=("portable",)),
    Thing("pear", "pear", "ann", aliases=("fruit",)),
    Thing("dream", "dream", "nowhere"),
)
CHARACTERS = (
    Character("ann", "Ann", "hall", traits=("she",), met=True, told=("storm", "boats"), heard=("sadness",)),
    Character("bob", "Bob", "roof", told=("storm",)),
)


def some_world(**values: Any) -> World:
    """Return a world of five places, six things and two characters; ``values`` are its own."""
    player = Player("hall", visits={"hall": 2, "loft": 1}, known=("roof",), seen=("lamp", "ann"), name="Ä\u0301nne")
    world = World(
        "test", 1, player, {place.id: place for place in PLACES}, {thing.id: thing for thing in THINGS},
        {character.id: character for character in CHARACTERS}, flags=("begun",),
    )  # fmt: skip
    return msgspec.structs.replace(world, **values)


def moved(world: World, thing: str, at: str) -> World:
    """Return a world with a thing somewhere else."""
    there = msgspec.structs.replace(world.things[thing], at=at)
    return msgspec.structs.replace(world, things={**world.things, thing: there})


def after_turn(world: World) -> World:
    """Return a world one turn later."""
    return msgspec.structs.replace(world, turn=world.turn + 1, minutes=world.minutes + 5)


def moving(world: World, thing: str, at: str) -> Patch:
    """Return the patch that puts a thing somewhere else."""
    return diff(world, moved(world, thing, at))
