"""A small made-up island and the deeds that may be done on it, for telling."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from tta_world import (
    COMMANDS,
    DIRECTIONS,
    FEELINGS,
    REASONS,
    Change,
    Character,
    Deed,
    Detail,
    Exit,
    Outcome,
    Place,
    Player,
    Thing,
    World,
)

PLACES = (
    Place("pier", "pier", "on", ("jetty",), ("outdoors", "sea"),
          (Exit("north", "inn", "a path leads to the inn"),
           Exit("east", "Owl Lane", "a lane runs off between hedges"))),
    Place("inn", "old inn", "in", (), (),
          (Exit("out", "pier", "the door opens on the pier"),
           Exit("down", "cellar", "steps go down to a cellar", needs_light=True))),
    Place("Owl Lane", "Owl Lane", "in", (), ("outdoors",),
          (Exit("west", "pier", "the lane goes back to the pier"),)),
    Place("cellar", "cellar", "in", (), ("dark",), (Exit("up", "inn", "steps go up"),)),
)  # fmt: skip
THINGS = (
    Thing("apple", "apple", "pier", (), ("portable",)),
    Thing("hourglass", "hourglass", "pier", (), ("portable",)),
    Thing("unicorn", "unicorn figurine", "inn", (), ("portable",)),
    Thing("oars", "oars", "pier", (), ("portable", "plural")),
    Thing("bread", "bread", "player", (), ("portable", "some")),
    Thing("lamp", "lamp", "player", (), ("portable", "lamp")),
    Thing("chest", "iron chest", "inn", (), ("scenery", "container")),
    Thing("sea", "sea", "abroad", (), ("scenery", "backdrop", "sea", "the")),
)
PEOPLE = (
    Character("ada", "Ada", "pier", (), ("she",), met=True),
    Character("owl", "Hob", "inn", (), ("he", "animal")),
)


def island(at: str = "pier", **values: Any) -> World:
    """Make the island."""
    return World(
        story="island",
        seed=1,
        player=Player(at=at, before="inn", visits={"pier": 2, "inn": 1}, name="Anna"),
        places={place.id: place for place in PLACES},
        things={thing.id: thing for thing in THINGS},
        characters={person.id: person for person in PEOPLE},
        minutes=9 * 60,
        **values,
    )


def told(*deeds: Deed, **values: Any) -> Change:
    """Make a change of these deeds."""
    main = deeds[0] if deeds else Deed("wait")
    return Change(main.name, main.outcome, deeds, **values)


def detail(aspect: str, about: str, *texts: str) -> Detail:
    return Detail(aspect, about, texts)


def any_deed(rng: random.Random) -> Deed:
    """Make a deed such as a world-builder might: any command, any outcome, any ids."""
    things, people = [t.id for t in THINGS], [p.id for p in PEOPLE]
    places = [p.id for p in PLACES]

    def maybe(ids: list[str]) -> str:
        return rng.choice(ids) if rng.random() < 0.6 else ""

    details = [
        Detail(aspect, rng.choice(things + people), tuple(
            f"Something {aspect} {rng.randint(0, 99)} {n} is told." for n in range(3)
        ))
        for aspect in rng.sample(
            ("place", "note", "look", "lies", "doing", "line", "effect", "refusal", "sense",
             "comfort", "far", "drift", "follows"), rng.randint(0, 3))
    ]  # fmt: skip
    outcomes: tuple[Outcome, ...] = ("done", "done", "already", "refused", "unclear")
    outcome = rng.choice(outcomes)
    arrived = outcome == "done" and rng.random() < 0.2
    return Deed(
        name=rng.choice((*COMMANDS, "stroll", "shout")),
        outcome=outcome,
        reason=rng.choice(REASONS) if outcome != "done" else "",
        thing=maybe(things),
        target=maybe(things),
        person=maybe(people),
        place="pier" if arrived else maybe(places),
        direction=maybe(list(DIRECTIONS)),
        manner=maybe(["in", "by", "self", "next", "inside"]),
        words=maybe(["purple unicorn", "x" * 70, "ÄÖ", "1 2 3", "sea"]),
        path=tuple(rng.sample(places, rng.randint(1, 3))) if arrived else ("inn",),
        options=tuple(rng.sample(things, 2)),
        nearby=tuple(rng.sample([*things, *people, *places], rng.randint(0, 3))),
        feelings=tuple(rng.choice(("", "-")) + f for f in rng.sample(FEELINGS, 2)),
        again=rng.random() < 0.3,
        arrived=arrived,
        details=tuple(details),
    )


@pytest.fixture
def world() -> World:
    return island()


@pytest.fixture
def make_world() -> Callable[..., World]:
    return island


@pytest.fixture
def change_of() -> Callable[..., Change]:
    return told


@pytest.fixture
def make_deed() -> Callable[[random.Random], Deed]:
    return any_deed
