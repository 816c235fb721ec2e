from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tta_world import (
    COMMANDS,
    FEELINGS,
    HEAVY,
    PLAYER,
    Change,
    Character,
    Command,
    Deed,
    Detail,
    Entity,
    Exit,
    Feeling,
    Intent,
    Place,
    Player,
    Thing,
    World,
    blocked,
    has_light,
    holder,
    known,
    lit,
    period,
    visible,
    ways,
)

HALL = Place("hall", "hall", traits=("outdoors",), exits=(
    Exit("north", "cellar", door="hatch"), Exit("east", "attic", hidden=True),
    Exit("up", "loft", needs_light=True),
))  # fmt: skip
CELLAR = Place("cellar", "cellar", traits=("dark",), exits=(Exit("south", "hall"),))
PLACES = {
    "hall": HALL,
    "cellar": CELLAR,
    "attic": Place("attic", "attic"),
    "loft": Place("loft", "loft"),
}


def make(*things: Thing, at: str = "hall", **values: Any) -> World:
    return World(
        story="test",
        seed=1,
        player=Player(at=at, visits={at: 1}),
        places=PLACES,
        things={thing.id: thing for thing in things},
        characters={"ann": Character("ann", "Ann", "hall", traits=("she",))},
        **values,
    )


def _name(value: object) -> str:
    return type(value).__name__


LAMP = Thing("lamp", "lamp", PLAYER, traits=("portable", "lamp"), states=("lit",))
HATCH = Thing("hatch", "hatch", "hall", traits=("door",), states=("locked",))
INTENT = Intent(
    name="take",
    confidence=0.8,
    slots={"thing": Entity("the lamp", "thing", "lamp", 0.9)},
    commands=(Command("take", {"thing": Entity("the lamp", "thing", "lamp", 0.9)}),),
    feelings=(Feeling("joy", "glad", 0.4),),
    hints=("feeling",),
    text="Gladly I take the lamp",
)
CHANGE = Change("take", "done", (Deed("take", thing="lamp", details=(
    Detail("effect", "lamp", ("You take it.",)),
)),))  # fmt: skip


@pytest.mark.parametrize("value", [INTENT, CHANGE, make(LAMP, HATCH)], ids=_name)
def test_everything_travels_as_json_and_as_msgpack(value: msgspec.Struct) -> None:
    kind = type(value)

    assert msgspec.json.decode(msgspec.json.encode(value), type=kind) == value
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=kind) == value
    assert msgspec.convert(msgspec.to_builtins(value), type=kind) == value


@pytest.mark.parametrize("value", [INTENT, CHANGE, make(LAMP)], ids=_name)
def test_what_a_later_release_adds_is_ignored(value: msgspec.Struct) -> None:
    later = {**msgspec.to_builtins(value), "invented_later": [1, 2]}

    assert msgspec.convert(later, type=type(value)) == value


@pytest.mark.parametrize("value", [INTENT, CHANGE, make()], ids=_name)
def test_what_travels_carries_a_version(value: msgspec.Struct) -> None:
    assert msgspec.to_builtins(value)["version"] == 1


def test_a_world_larger_than_its_caps_is_refused() -> None:
    raw = msgspec.to_builtins(make())
    raw["flags"] = [f"flag-{n}" for n in range(500)]

    with pytest.raises(msgspec.ValidationError, match="flags"):
        msgspec.convert(raw, type=World)


@pytest.mark.parametrize(
    "change",
    [
        {"player": {"at": "moon"}},
        {"things": {"cup": {"id": "cup", "name": "cup", "at": "moon"}}},
        {"things": {"cup": {"id": "cup", "name": "cup", "at": "cup"}}},
        {"characters": {"bob": {"id": "bob", "name": "Bob", "at": "moon"}}},
        {"places": {"hall": {"id": "hall", "name": "hall",
                             "exits": [{"direction": "up", "to": "moon"}]}}},
    ],
)  # fmt: skip
def test_a_world_that_contradicts_itself_is_refused(change: dict[str, object]) -> None:
    raw = {**msgspec.to_builtins(make()), **change}

    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(raw, type=World)


def test_a_thing_in_a_bag_in_a_hand_is_carried() -> None:
    bag = Thing("bag", "bag", PLAYER, traits=("container",))
    world = make(bag, Thing("coin", "coin", "bag"))

    assert holder(world, "coin") == PLAYER


def test_what_is_in_a_shut_chest_is_not_seen_until_it_opens() -> None:
    coin = Thing("coin", "coin", "chest")
    shut = make(Thing("chest", "chest", "hall", traits=("container",)), coin)
    opened = make(Thing("chest", "chest", "hall", traits=("container",), states=("open",)), coin)

    assert "coin" not in [thing.id for thing in visible(shut)]
    assert "coin" in [thing.id for thing in visible(opened)]


def test_in_the_dark_one_sees_what_one_carries_and_what_glows() -> None:
    stone, worm = Thing("stone", "stone", "cellar"), Thing("worm", "worm", "cellar", (), ("glow",))
    world = make(stone, worm, Thing("map", "map", PLAYER), at="cellar")

    assert not lit(world)
    assert {thing.id for thing in visible(world)} == {"worm", "map"}


def test_a_lamp_in_the_hand_lights_the_dark() -> None:
    world = make(LAMP, Thing("stone", "stone", "cellar"), at="cellar")

    assert lit(world)
    assert has_light(world)
    assert "stone" in [thing.id for thing in visible(world)]


def test_a_backdrop_is_seen_from_the_places_that_share_a_trait_with_it() -> None:
    sky = Thing("sky", "sky", "abroad", traits=("backdrop", "outdoors"))

    assert "sky" in [thing.id for thing in visible(make(sky))]
    assert "sky" not in [thing.id for thing in visible(make(sky, LAMP, at="cellar"))]


def test_ways_are_open_shut_dark_or_hidden() -> None:
    world = make(HATCH)
    north, up = ways(world)

    assert blocked(world, north) == "locked"
    assert blocked(world, up) == "dark"
    assert blocked(make(LAMP, HATCH), up) is None


def test_next_door_is_known_but_what_is_hidden_is_not() -> None:
    assert known(make(HATCH)) == {"hall", "cellar", "loft"}


@pytest.mark.parametrize(
    ("hour", "name"),
    [(0, "night"), (5, "dawn"), (8, "morning"), (12, "midday"), (15, "afternoon"), (19, "dusk"),
     (23, "night"), (24 * 90 + 8, "morning")],
)  # fmt: skip
def test_the_day_goes_round(hour: int, name: str) -> None:
    assert period(make(minutes=hour * 60)) == name


def test_the_vocabulary_names_nothing_twice() -> None:
    assert len(set(COMMANDS)) == len(COMMANDS)
    assert len(set(FEELINGS)) == len(FEELINGS)
    assert set(FEELINGS) >= HEAVY
