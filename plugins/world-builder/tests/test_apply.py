from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tta_world import PLAYER, Command, Entity, Feeling, Intent, Place, Thing, holder, lit
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


def test_a_sequence_stops_at_the_first_refusal(game: Game) -> None:
    game.commands(
        Command("take", {"thing": Entity("unicorn")}),
        Command("go", {"direction": Entity("west", "direction", "west")}),
    )

    assert game.world.player.at == "bus-stop"
    assert game.change.left == ("go",)


def test_the_dark_hides_things_until_there_is_light(game: Game) -> None:
    game.go("harbour", "boat-shed")
    assert not lit(game.world)
    assert game.do("examine", thing="rowing-boat").reason == "dark"

    game.world = _with(game.world, "storm-lantern", PLAYER)
    game.world = _with(game.world, "matches", PLAYER)
    game.do("light", thing="storm-lantern")

    assert lit(game.world)
    assert game.do("examine", thing="rowing-boat").outcome == "done"


def test_a_lantern_wants_a_flame(game: Game) -> None:
    game.world = _with(game.world, "storm-lantern", PLAYER)

    assert game.do("light", thing="storm-lantern").reason == "needs"


def test_the_stair_is_not_climbed_without_a_light(game: Game) -> None:
    game.world = _with(game.world, "brass-key", PLAYER)
    game.go("lighthouse")
    assert game.world.player.at == "lighthouse"

    assert game.go("up").reason == "dark"


def test_a_container_is_opened_and_holds_things(game: Game) -> None:
    for thing in ("storm-lantern", "matches"):
        game.world = _with(game.world, thing, PLAYER)
    game.do("light", thing="storm-lantern")
    game.go("harbour", "boat-shed", "up")

    deed = game.do("open", thing="sea-chest")

    assert set(deed.nearby) == {"wool-blanket", "tin-whistle"}
    assert game.do("take", thing="tin-whistle").target == "sea-chest"
    assert game.do("put", thing="tin-whistle", target="sea-chest").manner == "in"
    assert game.at("tin-whistle") == "sea-chest"


def test_people_introduce_themselves_once(game: Game) -> None:
    game.go("harbour")
    first = game.do("greet", person="bram")
    again = game.do("greet", person="bram")

    assert (first.again, again.again) == (False, True)
    assert game.world.characters["bram"].met


def test_people_tell_a_thing_once_and_then_know_that_they_did(game: Game) -> None:
    game.go("harbour")
    first = game.do("ask", person="bram", topic="boats")
    game.do("ask", person="bram", topic="boats")

    assert first.topic == "boats"
    assert game.world.characters["bram"].told == ("boats",)
    assert "Still out there" in game.told()


def test_talking_opens_what_somebody_has_not_told_yet(game: Game) -> None:
    game.go("harbour")
    topics = [game.do("talk", person="bram").topic for _ in range(4)]

    assert topics[0] == ""
    assert len(set(topics[1:])) == 3


def test_an_unknown_subject_meets_an_honest_shrug(game: Game) -> None:
    game.go("harbour")

    assert game.do("ask", person="bram", topic="quantum physics").reason == "no-topic"


def test_nobody_is_there_to_talk_to_where_nobody_is(game: Game) -> None:
    assert game.do("talk").reason == "alone"
    assert game.do("talk", person="ines").reason in ("unknown-person", "absent")


def test_a_gift_without_a_part_in_the_story_is_handed_back(game: Game) -> None:
    game.do("take", thing="postcard")
    game.go("harbour")

    deed = game.do("give", thing="postcard", person="bram")

    assert deed.name == "show"
    assert game.at("postcard") == PLAYER


def test_a_feeling_is_answered_and_remembered_without_a_word_of_advice(game: Game) -> None:
    game.go("harbour")
    game.do("feel", Feeling("sadness", strength=0.8), person="bram")

    assert game.world.player.feelings == ("sadness",)
    assert "sadness" in game.world.characters["bram"].heard
    assert game.change.deeds[-1].details[0].aspect == "comfort"


def test_somebody_who_was_told_asks_after_it_once(game: Game) -> None:
    game.go("harbour")
    game.do("greet", person="bram")
    game.do("feel", Feeling("sadness"))
    game.do("greet", person="bram")
    asked = game.told()
    game.do("greet", person="bram")

    assert "hasn't forgotten what you told him" in asked
    assert "hasn't forgotten what you told him" not in game.told()


def test_the_weather_leans_towards_a_feeling_out_of_doors(game: Game) -> None:
    game.do("look")
    game.do("feel", Feeling("anger"))

    assert game.world.weather == "breezy"


def test_a_feeling_that_has_passed_is_kept_as_passed(game: Game) -> None:
    game.do("feel", Feeling("fear"))
    game.do("feel", Feeling("fear", present=False))

    assert game.world.player.feelings == ("-fear",)


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


def test_a_companion_follows_but_not_into_the_wet(game: Game) -> None:
    moss = msgspec.structs.replace(game.world.characters["moss"], at="bus-stop", traits=("he", "animal", "companion"))
    game.world = msgspec.structs.replace(game.world, characters={**game.world.characters, "moss": moss})

    game.go("green", "harbour")
    assert game.world.characters["moss"].at == "harbour"
    game.go("jetty")
    assert game.world.characters["moss"].at == "harbour"


def test_nothing_that_a_player_writes_is_kept(game: Game) -> None:
    game.do("take", thing="postcard")
    game.commands(
        Command("write", {"thing": Entity("postcard", "thing", "postcard"),
                          "speech": Entity("my sorrow", "speech")}),
        Command("share", {"speech": Entity("my sorrow", "speech")}),
        Command("tell", {"topic": Entity("my sorrow", "topic")}),
    )  # fmt: skip

    assert b"sorrow" not in msgspec.msgpack.encode(game.world)


def test_what_is_in_the_bottle_counts_as_carried(game: Game) -> None:
    game.world = _with(game.world, "green-bottle", PLAYER)
    game.do("open", thing="green-bottle")

    assert holder(game.world, "letter") == PLAYER
    assert game.do("read", thing="letter").outcome == "done"


def _with(world: Any, thing: str, at: str) -> Any:
    moved = msgspec.structs.replace(world.things[thing], at=at)
    return msgspec.structs.replace(world, things={**world.things, thing: moved})


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


def test_who_has_nobody_to_talk_to_hears_where_somebody_is(game: Game) -> None:
    deed = game.do("talk")

    assert (deed.reason, deed.place) == ("alone", "harbour")


def test_somebody_not_met_yet_is_said_to_be_where_they_live(game: Game) -> None:
    named = game.do("give", thing="postcard", person="ines")
    described = game.commands(Command("hug", {"person": Entity("old man", "character", "bram")}))

    assert (named.reason, named.place) == ("unknown-person", "cottage")
    assert (described.reason, described.place) == ("absent", "harbour")


def test_a_pronoun_that_means_nothing_is_asked_about_and_not_searched_for(game: Game) -> None:
    assert game.do("take", thing="it").reason == "what"


def test_what_everybody_knows_the_way_to_is_told_with_the_refusal(game: Game) -> None:
    game.do("take", thing="storm-lantern")

    assert "for borrowing" in game.told()


def test_one_can_go_to_whoever_is_nearest_and_to_somewhere_quiet(game: Game) -> None:
    game.commands(Command("go", {"person": Entity("person", "several")}))
    company = game.world.player.at
    game.commands(Command("go", {"place": Entity("somewhere quiet", "several")}))

    assert company == "harbour"
    assert "restful" in game.world.places[game.world.player.at].traits


def test_what_needs_nothing_else_is_done_though_something_before_it_could_not_be(game: Game) -> None:
    west = Entity("west", "direction", "west")
    deed = game.commands(
        Command("take", {"thing": Entity("stone")}), Command("go", {"direction": west}), Command("breathe")
    )  # fmt: skip

    assert deed.name == "breathe"
    assert game.change.left == ("go",)
    assert game.world.player.at == "bus-stop"


def test_somebody_asked_twice_who_they_are_says_it_twice(game: Game) -> None:
    game.go("harbour")
    asked = Command("ask", {"topic": Entity("name", "topic")})

    assert [game.commands(asked).name for _ in range(2)] == ["greet", "named"]


def test_who_asks_an_empty_place_for_its_name_learns_who_tells_the_story(game: Game) -> None:
    assert game.commands(Command("ask", {"topic": Entity("name", "topic")})).name == "about"


def test_a_feeling_told_anew_is_not_the_old_one_still_there(game: Game) -> None:
    game.do("feel", Feeling("sadness"))
    again = game.do("feel", Feeling("sadness"))
    anew = game.do("feel", Feeling("sadness", strength=0.7))

    assert (again.again, anew.again) == (True, False)


def test_suggestions_name_what_is_at_hand_and_a_way_not_gone(game: Game) -> None:
    deed = game.do("suggest")

    assert "postcard" in deed.nearby
    assert deed.options == ("green",)


def test_a_question_of_the_heart_is_listened_to_and_not_shrugged_at(game: Game) -> None:
    game.go("harbour")
    game.do("greet")
    asked = Command("wonder", {"topic": Entity("does it get better", "topic")})
    before = game.commands(asked)
    game.do("feel", Feeling("sadness"))
    after = game.commands(asked)

    assert (before.name, after.name) == ("wonder", "share")


def test_what_somebody_here_would_pour_is_asked_for(game: Game) -> None:
    game.learn()
    game.go("tea-room")
    game.do("drink", thing="mug-of-tea")

    assert "Tea" in game.told()


def test_a_verb_that_nobody_foresaw_is_tried(game: Game) -> None:
    assert game.do("impossible", thing="postcard").name == "try"


def test_the_sea_lies_where_it_can_be_seen_from(game: Game) -> None:
    game.go("west")

    assert game.do("where", thing="sea").place == "harbour"


def test_what_was_asked_about_is_what_it_means_next(game: Game) -> None:
    game.learn()
    game.go("dunes")
    game.do("ask", topic="kite")

    assert game.world.player.focus.thing == "kite"


def test_what_was_told_isnt_told_again_for_the_sake_of_a_you(game: Game) -> None:
    game.learn()
    game.go("harbour")
    game.do("greet")
    asked = Command("ask", {"topic": Entity("do you like it", "topic")})

    assert [game.commands(asked).reason for _ in range(2)] == ["", "no-topic"]


def test_whoever_was_sent_says_so_and_is_given_the_key(game: Game) -> None:
    game.learn()
    game.go("cottage")
    game.do("ask", topic="key")
    game.go("dunes")
    game.commands(Command("tell", {"topic": Entity("ines sent me", "topic", "ines")}))

    assert game.at("brass-key") == PLAYER


def test_a_gift_without_a_name_on_it_is_for_whoever_can_speak(game: Game) -> None:
    game.do("take", thing="postcard")
    game.learn()
    game.go("cottage")

    assert game.do("give", thing="postcard").person == "ines"
