from __future__ import annotations

from typing import Any

from tta_world import PLAYER, Command, Entity, Feeling

# The fixture's class stands in conftest, which importlib mode doesn't import by name.
Game = Any


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


def test_who_has_nobody_to_talk_to_hears_where_somebody_is(game: Game) -> None:
    deed = game.do("talk")

    assert (deed.reason, deed.place) == ("alone", "harbour")


def test_somebody_not_met_yet_is_said_to_be_where_they_live(game: Game) -> None:
    named = game.do("give", thing="postcard", person="ines")
    described = game.commands(Command("hug", {"person": Entity("old man", "character", "bram")}))

    assert (named.reason, named.place) == ("unknown-person", "cottage")
    assert (described.reason, described.place) == ("absent", "harbour")


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
