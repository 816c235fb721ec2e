"""Short ways to say what a player does, without a parser."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tta_world import (
    DIRECTIONS,
    Change,
    Command,
    Deed,
    Entity,
    EntityKind,
    Feeling,
    Intent,
    World,
)
from tta_world_builder import apply, new_world


class Game:
    """A world that goes on with everything that is done in it."""

    def __init__(self, seed: int = 1) -> None:
        self.world = new_world(seed)
        self.change = Change("nothing", "done")

    def do(self, name: str, *feelings: Feeling, **slots: str) -> Deed:
        """Do one thing; return the deed."""
        return self.commands(command(self.world, name, **slots), feelings=feelings)

    def commands(self, *commands: Command, feelings: tuple[Feeling, ...] = ()) -> Deed:
        """Do several things in one turn; return the last deed."""
        intent = Intent(name=commands[0].name, commands=commands, feelings=feelings)
        self.world, self.change = apply(self.world, intent)
        return self.change.deeds[-1]

    def go(self, *where: str) -> Deed:
        """Go in directions, or to places, one after the other."""
        deed = Deed("nothing")
        for one in where:
            role = "direction" if one in DIRECTIONS else "place"
            deed = self.do("go", **{role: one})
        return deed

    def learn(self) -> None:
        """Let the player know every place that isn't hidden."""
        world = self.world
        known = tuple(p.id for p in world.places.values() if "hidden" not in p.traits)
        player = msgspec.structs.replace(world.player, known=known)
        self.world = msgspec.structs.replace(world, player=player)

    def put(self, thing: str, at: str) -> None:
        """Put a thing somewhere, without a turn."""
        moved = msgspec.structs.replace(self.world.things[thing], at=at)
        self.world = msgspec.structs.replace(self.world, things={**self.world.things, thing: moved})

    def told(self) -> str:
        """Return every text that the last turn could tell."""
        details = [d for deed in self.change.deeds for d in deed.details]
        return " ".join(t for d in [*details, *self.change.beats] for t in d.texts)

    def at(self, thing: str) -> str:
        return self.world.things[thing].at


def command(world: World, name: str, **slots: str) -> Command:
    """Make a command whose slots hold ids, or words where the world has no such id."""
    return Command(name, {role: _entity(world, role, text) for role, text in slots.items()})


def _entity(world: World, role: str, text: str) -> Entity:
    kinds: list[tuple[EntityKind, bool]] = [
        ("direction", role == "direction"),
        ("place", text in world.places),
        ("thing", text in world.things),
        ("character", text in world.characters),
    ]
    kind = next((kind for kind, fits in kinds if fits), None)
    return Entity(text, kind, text) if kind else Entity(text)


@pytest.fixture
def game() -> Game:
    return Game()


@pytest.fixture
def make_game() -> Callable[[int], Game]:
    return Game
