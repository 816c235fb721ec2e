"""A small made-up village to read sentences in; the parser must not need a real story."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tta_world import Character, Exit, Focus, Place, Player, Thing, World

WorldMaker = Callable[..., World]


def village(at: str = "green", focus: Focus | None = None, held: tuple[str, ...] = ()) -> World:
    """Make a village with a few things of everything that the parser tells apart."""
    places = [
        Place("green", "village green", "on", ("green", "village"), ("outdoors", "landmark"),
              (Exit("west", "harbour"), Exit("north", "lane"), Exit("in", "inn"))),
        Place("harbour", "harbour", "at", ("quay", "port"), ("outdoors", "landmark", "sea"),
              (Exit("east", "green"), Exit("north", "beach"))),
        Place("beach", "shingle beach", "on", ("beach", "shore"), ("outdoors", "landmark", "sea"),
              (Exit("south", "harbour"),)),
        Place("lane", "Rope Lane", "in", ("lane",), ("outdoors",),
              (Exit("south", "green"), Exit("up", "lighthouse"))),
        Place("inn", "inn", "in", ("tea room", "tearoom"), (), (Exit("out", "green"),)),
        Place("lighthouse", "lighthouse", "in", ("tower",), ("landmark",),
              (Exit("down", "lane"),)),
    ]  # fmt: skip
    things = [
        Thing("storm-lantern", "storm lantern", "green", ("lantern", "lamp"),
              ("portable", "lamp")),
        Thing("brass-key", "brass key", "green", ("key",), ("portable",)),
        Thing("twine", "ball of twine", "green", ("twine", "string"), ("portable",)),
        Thing("tide-book", "book of tides", "green", ("book",), ("portable", "readable")),
        Thing("matches", "tin of matches", "green", ("matches",), ("portable", "flame")),
        Thing("oil-can", "can of lamp oil", "green", ("oil", "oil can"), ("portable",)),
        Thing("shell", "spiral shell", "beach", ("shell",), ("portable",)),
        Thing("bench", "round bench", "green", ("bench",), ("scenery", "seat")),
        Thing("tree", "lime tree", "green", ("tree",), ("scenery",)),
        Thing("chest", "sea chest", "green", ("chest",), ("scenery", "container")),
        Thing("bell", "harbour bell", "green", ("bell",), ("scenery",)),
        Thing("map", "painted map", "green", ("map", "sign"), ("scenery", "readable")),
        Thing("great-lamp", "great lamp", "lighthouse", ("lamp", "light"), ("scenery",)),
        Thing("sea", "sea", "abroad", ("waves", "water"), ("scenery", "backdrop", "outdoors")),
    ]  # fmt: skip
    people = [
        Character("bram", "Bram", "green", ("fisherman", "old man", "man"), ("he",), met=True),
        Character("ines", "Ines", "lighthouse", ("keeper", "woman"), ("she",)),
        Character("moss", "Moss", "green", ("cat", "grey cat"), ("he", "animal"), met=True),
    ]
    placed = {thing.id: msgspec.structs.replace(thing, at="player") if thing.id in held else thing for thing in things}
    seen = ("storm-lantern", "bram", "moss")
    return World(
        story="test",
        seed=1,
        player=Player(at=at, visits={"green": 1}, focus=focus or Focus(), seen=seen),
        places={place.id: place for place in places},
        things=placed,
        characters={person.id: person for person in people},
    )


@pytest.fixture
def make_world() -> WorldMaker:
    return village


@pytest.fixture
def world() -> World:
    return village()
