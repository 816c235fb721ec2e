from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tta_world import PLAYER, holder, lit

# The fixture's class stands in conftest, which importlib mode doesn't import by name.
Game = Any


def test_a_thing_is_taken_and_put_down(game: Game) -> None:
    game.do("take", thing="postcard")
    assert game.at("postcard") == PLAYER
    game.go("west")
    game.do("drop", thing="postcard")
    assert game.at("postcard") == "green"


@pytest.mark.parametrize(
    ("thing", "reason"),
    [("bus-bench", "fixed"), ("kite", "unknown-thing"), ("a purple unicorn", "unknown-thing")],
)
def test_what_cannot_be_taken_is_refused_with_its_reason(game: Game, thing: str, reason: str) -> None:
    assert game.do("take", thing=thing).reason == reason


def test_a_refusal_names_what_is_at_hand(game: Game) -> None:
    assert "postcard" in game.do("take", thing="a unicorn").nearby


def test_what_somebody_holds_is_theirs_to_give(game: Game) -> None:
    game.go("dunes")

    deed = game.do("take", thing="brass-key")

    assert (deed.reason, deed.person) == ("owned", "juno")


def test_hands_get_full_and_nothing_is_lost(game: Game) -> None:
    world = game.world
    portable = [t for t in world.things.values() if "portable" in t.traits][:12]
    things = {**world.things}
    for thing in portable[:10]:
        things[thing.id] = msgspec.structs.replace(thing, at=PLAYER, states=())
    for thing in portable[10:]:
        things[thing.id] = msgspec.structs.replace(thing, at="bus-stop", states=())
    game.world = msgspec.structs.replace(world, things=things)

    deed = game.do("take", thing=portable[10].id)

    assert deed.reason == "full"
    assert game.at(portable[10].id) == "bus-stop"


def test_what_is_named_that_was_seen_elsewhere_is_said_to_be_there(game: Game) -> None:
    game.do("look")
    game.go("green")

    deed = game.do("take", thing="postcard")

    assert (deed.reason, deed.place) == ("elsewhere", "bus-stop")


def test_the_dark_hides_things_until_there_is_light(game: Game) -> None:
    game.go("harbour", "boat-shed")
    assert not lit(game.world)
    assert game.do("examine", thing="rowing-boat").reason == "dark"

    game.put("storm-lantern", PLAYER)
    game.put("matches", PLAYER)
    game.do("light", thing="storm-lantern")

    assert lit(game.world)
    assert game.do("examine", thing="rowing-boat").outcome == "done"


def test_a_lantern_wants_a_flame(game: Game) -> None:
    game.put("storm-lantern", PLAYER)

    assert game.do("light", thing="storm-lantern").reason == "needs"


def test_a_container_is_opened_and_holds_things(game: Game) -> None:
    for thing in ("storm-lantern", "matches"):
        game.put(thing, PLAYER)
    game.do("light", thing="storm-lantern")
    game.go("harbour", "boat-shed", "up")

    deed = game.do("open", thing="sea-chest")

    assert set(deed.nearby) == {"wool-blanket", "tin-whistle"}
    assert game.do("take", thing="tin-whistle").target == "sea-chest"
    assert game.do("put", thing="tin-whistle", target="sea-chest").manner == "in"
    assert game.at("tin-whistle") == "sea-chest"


def test_what_is_in_the_bottle_counts_as_carried(game: Game) -> None:
    game.put("green-bottle", PLAYER)
    game.do("open", thing="green-bottle")

    assert holder(game.world, "letter") == PLAYER
    assert game.do("read", thing="letter").outcome == "done"


def test_a_pronoun_that_means_nothing_is_asked_about_and_not_searched_for(game: Game) -> None:
    assert game.do("take", thing="it").reason == "what"
