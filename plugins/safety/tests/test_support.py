"""The conversation with a person in distress, which pauses the story and never shuts them out."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_safety import KINDS, Finding, Verdict
from tta_safety.support import Reply, Support, affirmed, check_in, converse, doubt, reach_out, reaches_out
from tta_safety.texts import shipped_texts

support_texts, hearing = shipped_texts().of, shipped_texts().hearing
SAFE = Verdict("checked", "safe")


def disclosed(kind: str, severity: int = 0) -> Verdict:
    found = Finding(rule="r@1", category=kind, level="warning", severity=severity, subject="self")
    return Verdict("checked", "warning", 0.9, (kind,), findings=(found,))


SUICIDE = disclosed("suicide", 3)


def talk(first: Verdict, texts: Sequence[str]) -> list[Reply]:
    """Hold a conversation that begins with a disclosure; the rest discloses nothing new."""
    replies = [converse("it is too much", first, None, country="US", turn=1)]
    for text in texts:
        replies.append(converse(text, SAFE, replies[-1].support, country="US"))
    return replies


def test_the_story_goes_on_only_where_the_person_asks_for_it_and_says_nothing_of_a_crisis() -> None:
    begun = converse("I can't any more", SUICIDE, None, turn=3).support
    assert begun is not None
    assert converse("continue", SUICIDE, begun).support is not None
    assert converse("look around", SAFE, begun).support is not None
    assert converse("Continue.", SAFE, begun).support is None


@pytest.mark.parametrize(
    "text",
    [
        "continue",
        "Go on",
        "ok continue please",
        "can we go on with the story",
        "let's keep playing",
        "back to the game",
        "I want to play on",
        "resume",
    ],
)
def test_wanting_the_story_back_is_understood(text: str) -> None:
    assert converse(text, SAFE, talk(SUICIDE, [])[-1].support).support is None


@pytest.mark.parametrize(
    "text", ["I can't go on", "I don't want to continue", "why go on", "play dead", "go to sleep forever"]
)
def test_a_word_of_it_within_something_else_is_not(text: str) -> None:
    assert converse(text, SAFE, talk(SUICIDE, [])[-1].support).support is not None


def test_after_something_very_serious_the_person_is_asked_whether_they_are_safe_before_the_story_goes_on() -> None:
    _, asked, on = talk(disclosed("suicide", 5), ["continue", "yes I am"])
    assert "safe right now" in asked.text
    assert asked.support is not None
    assert on.support is None
    unsafe = converse("no", SAFE, asked.support)
    assert unsafe.support is not None
    assert "emergency" in unsafe.text


def test_what_a_conversation_is_about_only_grows() -> None:
    support = converse("x", SUICIDE, None).support
    support = converse("y", disclosed("panic"), support).support
    assert support is not None
    assert support.kinds == ("suicide", "panic")
    assert support.replies == 2


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_asked_about_directly_and_people_and_a_line_are_named(kind: str) -> None:
    replies = talk(disclosed(kind, 2), ["hm"] * 12)
    told = " ".join(reply.text for reply in replies)
    assert "988" in replies[0].text
    assert "?" in replies[0].text
    assert "whom you trust" in told
    assert re.search(r"doctor|counsellor|therapist", told)
    assert re.search(r"killing yourself|ending your life|end your life", told)


def test_where_there_are_thoughts_of_suicide_plan_intent_and_means_are_asked_after() -> None:
    replies = talk(disclosed("depression"), ["yes"] * 5)
    told = " ".join(reply.text for reply in replies[1:5])
    assert re.search(r"how or when you would do it|Is there a plan", told)
    assert re.search(r"act on", told)
    assert re.search(r"near you that you might use|distance between yourself", told)


def test_a_conversation_that_begins_again_says_in_other_words_that_it_has_heard() -> None:
    first, second = (converse("it is too much", SUICIDE, None, country="US", turn=turn).text for turn in (5, 8))
    assert first.partition(".")[0] != second.partition(".")[0]


def test_nothing_is_said_twice_within_six_turns() -> None:
    for kind in KINDS:
        replies = talk(disclosed(kind), ["hm", "yes", "no", "leave me alone", "I'm okay now", "look around"] * 5)
        for number in range(len(replies) - 6):
            assert len({reply.text for reply in replies[number : number + 6]}) == 6, kind


def test_it_never_claims_to_be_somebody_nor_to_have_called_anybody() -> None:
    replies = talk(SUICIDE, ["are you a real person?", "who can I call?", "hm"] * 10)
    told = " ".join(reply.text for reply in replies)
    assert not re.search(r"\bI(?:'m| am) (?:a |your )?(?:human|person|therapist|doctor|counsellor)\b", told)
    assert not re.search(r"\bI(?:'ve| have)? (?:called|alerted|contacted|notified)\b", told)
    assert re.search(r"no human|not a person|program|software", replies[1].text)
    assert "988" in replies[2].text


@given(st.lists(st.tuples(st.text(max_size=50), st.sampled_from([SAFE, *map(disclosed, KINDS)])), max_size=30))
def test_whatever_is_written_is_answered_or_the_story_goes_on(turns: list[tuple[str, Verdict]]) -> None:
    support: Support | None = None
    for text, verdict in turns:
        reply = converse(text, verdict, support)
        assert reply.text
        support = reply.support


REACHING_OUT = """
help me
please help me
help me please
Can you help me?
somebody help me
please help!
Help please
I need help
I need some help
can I talk to a real person?
I want to speak to a human
is there a real human here
put me through to a person
get me a human
is there a number I can call
who can I call
is there a helpline
give me a hotline
I need to talk to someone
is there anyone I can talk to
I want to talk to a therapist
can i chat with a counsellor
I need a real person, not a game
call someone for me
get someone
i need a doctor
let me speak to someone
is there somebody who can help me?
I need professional help
where can I get help
how do I get help
connect me to a human
I don't want a bot, I want a person
need to talk to an actual human being
i need someone to talk to
are there people I can call?
can you call somebody for me
can you get me a counselor
I have nobody to talk to
is anyone there who could help me
I wish I had somebody to talk to
whom can I call at night
I’d like to talk to somebody real
are you a real person? I need a real person
is there a real person I can call?
can I talk to someone real, a therapist maybe
can I talk to a real human
""".strip().splitlines()

IN_THE_STORY = """
help
help!
help Bram with the nets
help me find the key
help him
can I help you?
I need help with the nets
help me up
ask Bram for help
talk to the old man
call the cat
I need to find the key
is there anybody here?
who lives here
is anyone around
is there anyone who knows about the light?
who can light the lamp?
talk to Bram
a real lighthouse
is this real?
are you a real person?
are you human?
am I talking to a real person?
is this a bot
I call out
call for Bram
how do I play
line up the stones
help the girl get her kite down
can you help me get the kite down
I want to help people
does anyone need help?
look at the line of the shore
anyone who can light the lamp?
get the rope
find somebody's footprints
give the doctor the shell
I take the lantern, please help me light it
ask somebody the way
talk to the innkeeper
call the dog
help the knight
I need help with the door
""".strip().splitlines()


@pytest.mark.parametrize("text", REACHING_OUT)
def test_asking_for_a_person_a_line_or_help_is_known_however_it_is_typed(text: str) -> None:
    for said in (text, text.upper(), f"  {text}...", f"{text}!!"):
        assert reaches_out(said), said


@pytest.mark.parametrize("text", IN_THE_STORY)
def test_what_is_asked_of_the_story_is_no_call_for_a_person(text: str) -> None:
    assert not reaches_out(text)


def test_the_answer_to_that_names_lines() -> None:
    assert "988" in reach_out(country="US")


def test_a_check_in_varies_and_names_a_line() -> None:
    assert "988" in check_in(SAFE, country="US")
    assert check_in(SAFE, turn=1) != check_in(SAFE, turn=2)


def doubted(kind: str) -> Verdict:
    found = Finding(rule="r@1", category=kind, level="warning", severity=2)
    return Verdict("checked", "warning", 0.5, findings=(found,))


@pytest.mark.parametrize("kind", KINDS)
def test_a_check_in_asks_and_asks_of_suicide_directly(kind: str) -> None:
    for turn in range(3):
        asked = check_in(doubted(kind), turn=turn)
        assert "?" in asked
        if kind == "suicide":
            assert re.search(r"ending your life|killing yourself|not wanting to live", asked)


@pytest.mark.parametrize(
    ("text", "says_so"),
    [
        ("yes", True), ("maybe. some nights", True), ("ok. it's me. the character is me", True), ("I mean me", True),
        ("Kind of", True), ("it\u2019s about me", True), ("i do", True),
        ("no", False), ("nah I'm fine", False), ("go north", False), ("yes, go on", False), ("I do not", False),
        ("what happens if my character dies", False), ("it's just the game", False),
    ],
)  # fmt: skip
def test_an_answer_to_a_check_in_that_says_it_is_about_them_discloses_a_crisis(text: str, *, says_so: bool) -> None:
    verdict = affirmed(text, SAFE, doubt(doubted("suicide")))
    assert (verdict is not None) is says_so
    if verdict is not None:
        assert verdict.kinds == ("suicide",)
        assert verdict.objects


def test_nobody_who_was_not_asked_affirms_anything() -> None:
    assert affirmed("yes", SAFE, doubt(SAFE)) is None
    assert affirmed("yes", SUICIDE, "panic") is None


def test_after_an_overdose_help_for_the_body_comes_first_and_what_it_was_and_when_is_asked() -> None:
    first, *_ = replies = talk(disclosed("substance", 6), ["hm"] * 5)
    assert "emergency number" in first.text.partition(".")[0]
    assert "about when" in first.text
    told = " ".join(reply.text for reply in replies)
    assert "killing yourself" in replies[1].text
    assert re.search(r"act on", told)
    assert re.search(r"near you that you might use|distance between yourself", told)


def test_whoever_took_something_is_asked_whether_they_meant_to_die_before_the_story_goes_on() -> None:
    _, asked, on = talk(disclosed("substance", 6), ["can we please just play", "continue the story"])
    assert "killing yourself" in asked.text
    assert on.support is None


def test_whom_when_and_with_what_is_asked_of_somebody_who_may_hurt_others() -> None:
    told = " ".join(reply.text for reply in talk(disclosed("violence", 4), ["hm"] * 5))
    assert re.search(r"hurting somebody|whom you might hurt", told)
    assert re.search(r"how or when|a plan", told)
    assert "hurt somebody with" in told


def test_what_keeps_a_person_is_answered() -> None:
    begun = converse("I can't any more", SUICIDE, None).support
    cue = Finding(rule="protective.reasons@1", category="protective", level="safe")
    heard = converse("my dog needs me", Verdict("checked", "safe", findings=(cue,)), begun)
    assert any(sentence in heard.text for sentence in support_texts("en")["protective"])
    assert not any(sentence in converse("hm", SAFE, begun).text for sentence in support_texts("en")["protective"])


def test_no_question_comes_twice_while_another_waits() -> None:
    for kind in KINDS:
        replies = talk(disclosed(kind, 5), ["hm"] * 6)
        asked = [reply.support.last for reply in replies if reply.support]
        assert len(set(asked)) == len(asked), kind


def test_a_language_that_nobody_has_translated_is_answered_and_heard_in_english() -> None:
    assert hearing("xx-YY").affirms("yes")
    assert support_texts("xx") == support_texts("en")
