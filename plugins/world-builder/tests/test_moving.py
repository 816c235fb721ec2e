from __future__ import annotations

from typing import Any

import msgspec

from tta_world import PLAYER, Command, Entity

# The fixture's class stands in conftest, which importlib mode doesn't import by name.
Game = Any


def test_one_goes_in_a_direction_and_back(game: Game) -> None:
    assert game.go("west").arrived
    assert game.world.player.at == "green"
    game.do("back")
    assert game.world.player.at == "bus-stop"


def test_there_is_no_way_where_there_is_none(game: Game) -> None:
    deed = game.go("north")

    assert (deed.outcome, deed.reason) == ("refused", "no-exit")
    assert deed.nearby == ("green",)


def test_one_walks_several_rooms_to_a_place_in_sight(game: Game) -> None:
    deed = game.go("headland")

    assert deed.arrived
    assert deed.path[-1] == "headland"
    assert len(deed.path) > 3


def test_a_walk_ends_where_the_way_is_barred_and_says_why(game: Game) -> None:
    deed = game.go("lighthouse")

    assert game.world.player.at == "headland"
    assert (deed.arrived, deed.reason, deed.target) == (True, "locked", "lighthouse")


def test_a_place_nobody_has_spoken_of_is_not_walked_to(game: Game) -> None:
    assert game.go("cove").reason in ("unknown-way", "unknown-place")


def test_the_way_to_a_place_is_told(game: Game) -> None:
    deed = game.do("where", place="harbour")

    assert (deed.outcome, deed.direction, deed.path) == ("done", "west", ("green", "harbour"))


def test_one_goes_to_a_person_where_they_live(game: Game) -> None:
    assert game.do("go", person="ines").arrived
    assert game.world.player.at == "cottage"


def test_the_stair_is_not_climbed_without_a_light(game: Game) -> None:
    game.put("brass-key", PLAYER)
    game.go("lighthouse")
    assert game.world.player.at == "lighthouse"

    assert game.go("up").reason == "dark"


def test_a_companion_follows_but_not_into_the_wet(game: Game) -> None:
    moss = msgspec.structs.replace(game.world.characters["moss"], at="bus-stop", traits=("he", "animal", "companion"))
    game.world = msgspec.structs.replace(game.world, characters={**game.world.characters, "moss": moss})

    game.go("green", "harbour")
    assert game.world.characters["moss"].at == "harbour"
    game.go("jetty")
    assert game.world.characters["moss"].at == "harbour"


def test_what_everybody_knows_the_way_to_is_told_with_the_refusal(game: Game) -> None:
    game.do("take", thing="storm-lantern")

    assert "for borrowing" in game.told()


def test_one_can_go_to_whoever_is_nearest_and_to_somewhere_quiet(game: Game) -> None:
    game.commands(Command("go", {"person": Entity("person", "several")}))
    company = game.world.player.at
    game.commands(Command("go", {"place": Entity("somewhere quiet", "several")}))

    assert company == "harbour"
    assert "restful" in game.world.places[game.world.player.at].traits


def test_the_sea_lies_where_it_can_be_seen_from(game: Game) -> None:
    game.go("west")

    assert game.do("where", thing="sea").place == "harbour"
