from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tta_world import (
    ABROAD,
    COMMANDS,
    DIRECTIONS,
    FEELINGS,
    NOWHERE,
    PLAYER,
    Change,
    Command,
    Entity,
    Feeling,
    Intent,
    World,
    people,
    visible,
    ways,
)
from tta_world_builder import apply, load, new_world, shipped
from tta_world_builder.story import Story

Game = Any
MakeGame = Callable[[int], Any]


ROLES = (
    ("thing",), ("person",), ("place",), ("direction",), ("target",), ("topic",), ("name",),
    ("thing", "target"), ("person", "topic"), ("thing", "person", "target", "place"),
)  # fmt: skip


@pytest.fixture
def story() -> Story:
    return load("coast")


def test_every_shipped_story_hangs_together() -> None:
    assert shipped() == ("coast",)
    for name in shipped():
        assert load(name).places


def test_the_coast_is_large_enough_to_walk_in(story: Story) -> None:
    assert len(story.places) >= 15
    assert len(story.things) >= 25
    assert len(story.people) >= 6


def test_there_is_a_way_back_from_everywhere(story: Story) -> None:
    for id, place in story.places.items():
        for exit in place.exits.values():
            assert id in [back.to for back in story.places[exit.to].exits.values()], (id, exit.to)


def test_every_place_is_reached_in_the_end(story: Story) -> None:
    found = [story.start]
    for id in found:
        found += {e.to for e in story.places[id].exits.values()} - set(found)

    assert set(found) == set(story.places)


def test_every_text_ends_like_a_sentence(story: Story) -> None:
    ends = (".", "!", "?", "”", "’")
    for texts in _texts(msgspec.to_builtins(story)):
        for text in texts:
            assert text.strip().endswith(ends), text


def test_nothing_kills_and_nobody_prescribes(story: Story) -> None:
    words = ("kill", "blood", "dead ", "medic", "therap", "diagnos", "you should ", "you must ")
    for texts in _texts(msgspec.to_builtins(story)):
        for text in texts:
            assert not [word for word in words if word in text.lower()], text


@pytest.mark.parametrize("seed", [1, 2, 3, 11, 12])
def test_the_lamp_can_be_lit_and_the_boats_come_home(make_game: MakeGame, seed: int) -> None:
    game = make_game(seed)
    game.learn()
    game.go("cottage")
    game.do("ask", person="ines", topic="lamp")
    for thing in ("storm-lantern", "matches"):
        game.go(game.at(thing))
        assert game.do("take", thing=thing).outcome == "done"
    game.do("light", thing="storm-lantern")
    game.go("dunes")
    game.do("ask", person="juno", topic="key")
    game.go("chandlery")
    game.do("ask", person="oskar", topic="oil")
    game.go("reading-room")
    game.do("ask", person="wren", topic="cloth")
    for thing in ("brass-key", "oil-can", "velvet-cloth"):
        assert game.at(thing) == PLAYER
    game.go("lighthouse", "up", "up")
    assert game.world.player.at == "lamp-room"
    assert game.do("light", thing="great-lamp").reason == "needs"
    assert game.do("clean", thing="great-lens").outcome == "done"
    assert game.do("put", thing="oil-can", target="great-lamp").outcome == "done"
    assert game.do("light", thing="great-lamp").outcome == "done"
    assert "lamp-lit" in game.world.beats
    game.go("harbour")

    assert game.change.ending
    assert "homecoming" in game.world.beats
    assert game.go("beach").arrived


def test_the_key_is_also_given_to_whoever_brings_the_kite(game: Game) -> None:
    game.learn()
    game.go("cottage")
    game.do("ask", person="ines", topic="lamp")
    game.go(game.at("kite"))
    game.do("take", thing="kite")
    game.go("dunes")
    game.do("give", thing="kite", person="juno")

    assert game.at("kite") == "juno"
    assert game.at("brass-key") == PLAYER
    assert game.do("play", thing="kite").outcome == "done"


def test_a_kite_without_its_string_does_not_fly(game: Game) -> None:
    game.learn()
    game.go(game.at("kite"))
    game.do("take", thing="kite")

    assert game.do("play", thing="kite").reason == "needs"


def test_seeds_that_are_sown_and_watered_flower_when_one_comes_back(game: Game) -> None:
    game.learn()
    game.go(game.at("seed-packet"))
    game.do("take", thing="seed-packet")
    game.go("garden")
    assert game.do("plant", thing="seed-packet").outcome == "done"
    assert game.do("water", thing="flower-bed").outcome == "done"
    game.go("meadow", "garden")

    assert "blooming" in game.world.things["flower-bed"].states
    assert "bloom" in game.world.beats


def test_a_fish_wins_a_cat(game: Game) -> None:
    game.learn()
    game.go("harbour")
    game.do("ask", person="bram", topic="fish")
    game.go(game.world.characters["moss"].at)
    game.do("give", thing="sardine", person="moss")

    assert "companion" in game.world.characters["moss"].traits


def test_the_hidden_cove_is_found_by_looking_about(game: Game) -> None:
    game.learn()
    game.go("rock-pools")
    assert "cove" not in [exit.to for exit in ways(game.world)]
    game.do("search")

    assert game.go("cove").arrived


def test_the_net_is_mended_with_twine(game: Game) -> None:
    world = game.world
    twine = msgspec.structs.replace(world.things["ball-of-twine"], at=PLAYER)
    game.world = msgspec.structs.replace(world, things={**world.things, "ball-of-twine": twine})
    game.go("harbour")
    game.do("help-with", person="bram")

    assert "net-mended" in game.world.flags


def test_nudges_always_name_something_and_never_what_is_done(game: Game) -> None:
    game.do("look")
    assert game.change.nudges
    game.go("cottage")
    game.do("ask", person="ines", topic="lamp")

    assert not [n for n in game.change.nudges if "wonders, idly, who keeps it" in n.texts[0]]


@pytest.mark.parametrize("seed", range(25))
def test_a_random_walk_leaves_a_whole_world_that_can_be_walked_on(seed: int) -> None:
    rng = random.Random(seed)
    world = new_world(seed)
    for _ in range(120):
        intent = _anything(rng, world)
        world, change = apply(world, intent)

        _holds_together(world)
        _comes_home(world)
        assert change.deeds
        packed = msgspec.msgpack.encode(change)
        assert msgspec.msgpack.decode(packed, type=Change) == change
    packed = msgspec.msgpack.encode(world)
    assert msgspec.msgpack.decode(packed, type=World) == world
    assert len(packed) < 40_000


@pytest.mark.timeout(240)  # it takes 20 s of processor time where coverage is measured
def test_no_intent_of_any_command_and_any_slots_raises() -> None:
    world = new_world(3)
    entities = [
        Entity("nothing at all"), Entity("", "several"), Entity("x" * 200, "thing", "no-such-id"),
        Entity("lamp", options=("great-lamp", "storm-lantern")),
        *(Entity(id, "thing", id) for id in ("postcard", "sea", "brass-key", "lighthouse-door")),
        Entity("ines", "character", "ines"), Entity("beach", "place", "beach"),
        Entity("up", "direction", "up"), Entity("sideways", "direction", ""),
    ]  # fmt: skip
    for name in (*COMMANDS, "", "later"):
        for entity in entities:
            for roles in ROLES:
                slots = dict.fromkeys(roles, entity)
                _, change = apply(world, Intent(name, slots=slots))
                assert change.deeds


def _anything(rng: random.Random, world: World) -> Intent:
    ids = [*world.places, *world.things, *world.characters]
    near = [t.id for t in visible(world)] + [p.id for p in people(world)]
    commands = []
    for _ in range(rng.choice((1, 1, 2, 4))):
        name = rng.choice((*COMMANDS, *["go"] * 20, *["take", "use", "give", "put", "open"] * 4))
        slots = {}
        if name == "go" and rng.random() < 0.8:
            way = rng.choice(ways(world)).direction
            slots["direction"] = Entity(way, "direction", way)
        for role in rng.sample(("thing", "target", "person", "place", "topic"), rng.randint(0, 3)):
            id = rng.choice(near if near and rng.random() < 0.8 else ids)
            slots[role] = Entity(id, "thing", id)
        if rng.random() < 0.1:
            slots["direction"] = Entity("up", "direction", rng.choice(DIRECTIONS))
        commands.append(Command(name, slots))
    felt = tuple(Feeling(name) for name in rng.sample(FEELINGS, rng.randint(0, 2)))
    return Intent(commands[0].name, commands=tuple(commands), feelings=felt)


def _holds_together(world: World) -> None:
    """Check that each thing is in one place that there is, and none inside of itself."""
    for id, thing in world.things.items():
        seen = {id}
        at = thing.at
        while at in world.things:
            assert at not in seen, f"{id} is inside of itself"
            seen.add(at)
            at = world.things[at].at
        assert at in {PLAYER, ABROAD, NOWHERE} | set(world.places) | set(world.characters)


def _comes_home(world: World) -> None:
    """Check that from where the player is there's a way to the beginning, even without light."""
    found = [world.player.at]
    for id in found:
        for exit in ways(world, id):
            door = world.things.get(exit.door)
            locked = door is not None and "locked" in door.states
            if exit.to not in found and not locked and not exit.needs_light:
                found.append(exit.to)
    assert "bus-stop" in found


def _texts(node: Any, field: str = "") -> list[list[str]]:
    names = ("aliases", "traits", "states", "words", "when", "then", "effects", "verbs", "at")
    if field in names:
        return []
    if isinstance(node, dict):
        return [t for key, value in node.items() for t in _texts(value, key)]
    if isinstance(node, (list, tuple)) and node and all(isinstance(n, str) for n in node):
        return [list(node)]
    if isinstance(node, (list, tuple)):
        return [t for one in node for t in _texts(one)]
    return []
