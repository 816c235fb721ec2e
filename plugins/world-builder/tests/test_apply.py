from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tta_world import PLAYER, Command, Entity, Intent, Place, Thing
from tta_world_builder import apply, new_world

# The fixture's class stands in conftest, which importlib mode doesn't import by name.
Game = Any


def test_applying_changes_no_world_but_the_one_returned() -> None:
    world = new_world(1)
    before = msgspec.msgpack.encode(world)

    after, _ = apply(world, Intent("go", slots={"direction": Entity("west", "direction", "west")}))

    assert msgspec.msgpack.encode(world) == before
    assert after.player.at == "green"
    assert after.turn == world.turn + 1


def test_the_same_intent_does_the_same_to_the_same_world() -> None:
    intent = Intent("wait")

    assert apply(new_world(5), intent) == apply(new_world(5), intent)


def test_seeds_vary_the_weather_and_the_hiding_places() -> None:
    worlds = [new_world(seed) for seed in range(30)]

    assert len({world.weather for world in worlds}) > 1
    assert len({world.things["kite"].at for world in worlds}) == 3
    assert new_world(7) == new_world(7)


def test_the_first_turn_sees_the_first_place_whatever_is_done(game: Game) -> None:
    game.do("go", direction="west")

    first, second = game.change.deeds
    assert (first.place, second.place) == ("bus-stop", "green")
    assert [beat.about for beat in game.change.beats] == ["arrival"]


def test_deltas_say_what_changed(game: Game) -> None:
    game.do("take", thing="postcard")

    changed = {delta.path: (delta.before, delta.after) for delta in game.change.deltas}
    assert changed["things.postcard.at"] == ("bus-stop", PLAYER)


def test_a_sequence_stops_at_the_first_refusal(game: Game) -> None:
    game.commands(
        Command("take", {"thing": Entity("unicorn")}),
        Command("go", {"direction": Entity("west", "direction", "west")}),
    )

    assert game.world.player.at == "bus-stop"
    assert game.change.left == ("go",)


@pytest.mark.parametrize("name", ["harm", "impossible", "nonsense-of-a-later-release"])
def test_harm_and_the_impossible_change_nothing(game: Game, name: str) -> None:
    game.go("harbour")
    before = game.world

    deed = game.do(name, person="bram")

    assert deed.outcome == "refused"
    assert game.world.things == before.things
    assert {c.at for c in game.world.characters.values()} == {c.at for c in before.characters.values()}


def test_a_no_is_a_no(game: Game) -> None:
    game.do("look")
    deed = game.do("decline", place="green", wish="go")

    assert (deed.outcome, deed.reason) == ("done", "said-no")
    assert game.world.player.at == "bus-stop"


def test_sleep_lasts_until_morning(game: Game) -> None:
    game.do("sleep")

    assert game.world.minutes % (24 * 60) // 60 in (5, 6)


def test_nothing_that_a_player_writes_is_kept(game: Game) -> None:
    game.do("take", thing="postcard")
    game.commands(
        Command("write", {"thing": Entity("postcard", "thing", "postcard"),
                          "speech": Entity("my sorrow", "speech")}),
        Command("share", {"speech": Entity("my sorrow", "speech")}),
        Command("tell", {"topic": Entity("my sorrow", "topic")}),
    )  # fmt: skip

    assert b"sorrow" not in msgspec.msgpack.encode(game.world)


def test_a_world_of_an_earlier_edition_is_brought_up_to_date_and_keeps_its_past() -> None:
    world = new_world(1)
    things = {id: t for id, t in world.things.items() if id not in ("kite", "seal")}
    old = msgspec.structs.replace(things["postcard"], at=PLAYER, name="old card")
    gone = Thing("gone", "gone", "vanished")
    player = msgspec.structs.replace(
        world.player, at="vanished", visits={"vanished": 2, "beach": 1}, seen=("gone", "postcard")
    )
    world = msgspec.structs.replace(
        world,
        edition="earlier",
        places={**world.places, "vanished": Place("vanished", "vanished")},
        things={**things, "postcard": old, "gone": gone},
        player=player,
        beats=("arrival", "nevermore"),
        turn=9,
    )

    after, change = apply(world, Intent("look"))

    assert after.player.at == "bus-stop"
    assert after.things["postcard"].at == PLAYER
    assert after.things["postcard"].name == "postcard"
    assert "kite" in after.things
    assert "gone" not in after.things
    assert after.player.visits["beach"] == 1
    assert "nevermore" not in after.beats
    assert after.turn == 10
    assert change.deeds


def test_what_needs_nothing_else_is_done_though_something_before_it_could_not_be(game: Game) -> None:
    west = Entity("west", "direction", "west")
    deed = game.commands(
        Command("take", {"thing": Entity("stone")}), Command("go", {"direction": west}), Command("breathe")
    )  # fmt: skip

    assert deed.name == "breathe"
    assert game.change.left == ("go",)
    assert game.world.player.at == "bus-stop"


def test_a_verb_that_nobody_foresaw_is_tried(game: Game) -> None:
    assert game.do("impossible", thing="postcard").name == "try"
