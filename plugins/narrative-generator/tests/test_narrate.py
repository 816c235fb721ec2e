from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tta_narrative_generator import narrate, remembered
from tta_narrative_generator.sentences import sentences
from tta_world import (
    FEELINGS,
    HEAVY,
    REASONS,
    Change,
    Deed,
    Detail,
    World,
)

ChangeOf = Callable[..., Change]
MakeDeed = Callable[[random.Random], Deed]


def test_the_same_change_seed_and_turn_tell_the_same(world: World, change_of: ChangeOf) -> None:
    change = change_of(Deed("wait"))

    assert narrate(change, world, seed=4, turn=2) == narrate(change, world, seed=4, turn=2)


def test_seeds_and_turns_tell_it_differently(world: World, change_of: ChangeOf) -> None:
    change = change_of(Deed("take", thing="apple"))

    assert len({narrate(change, world, seed=n, turn=0).text for n in range(20)}) > 2
    assert len({narrate(change, world, seed=0, turn=n).text for n in range(20)}) > 2


def test_the_pieces_joined_are_the_text(world: World, change_of: ChangeOf) -> None:
    deed = Deed("go", place="pier", path=("pier",), arrived=True, details=(
        Detail("place", "pier", ("Planks. “Mind the gap. It bites,” says a notice. Water.",)),
    ))  # fmt: skip
    narration = narrate(change_of(deed), world)

    assert "".join(narration.pieces) == narration.text
    assert any("“Mind the gap. It bites,” says a notice." in piece for piece in narration.pieces)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_was_done_is_told_in_whole_clean_sentences(world: World, make_deed: MakeDeed, seed: int) -> None:
    rng = random.Random(seed)
    before: set[str] = set()
    for turn in range(25):
        deeds = tuple(make_deed(rng) for _ in range(rng.choice((1, 1, 2, 3))))
        change = Change(deeds[-1].name, deeds[-1].outcome, deeds, turn=turn, nudges=(
            Detail("nudge", "n", ("There is more to see.", "Something else is open.")),
        ))  # fmt: skip
        narration = narrate(change, world, seed=seed, turn=turn)

        _clean(narration.text)
        said = {s for part in narration.text.split("\n\n") for s in sentences(part)}
        assert not said & before, "said in the turn before, too"
        before = said
        world = remembered(world, narration)
        packed = msgspec.msgpack.encode(world)
        assert msgspec.msgpack.decode(packed, type=World) == world


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_a_kind_sentence(world: World, change_of: ChangeOf, reason: str) -> None:
    deed = Deed("take", "refused", reason, thing="apple", person="ada", words="unicorn",
                options=("apple", "oars"))  # fmt: skip
    text = narrate(change_of(deed), world).text

    _clean(text)
    assert not re.search(r"\b(?:can't do that|invalid|error|wrong)\b", text, re.IGNORECASE)


@pytest.mark.parametrize("feeling", FEELINGS)
def test_every_feeling_is_met_without_diagnosis_or_advice(world: World, change_of: ChangeOf, feeling: str) -> None:
    for turn in range(6):
        text = narrate(change_of(Deed("feel", feelings=(feeling,))), world, turn=turn).text

        _clean(text)
        assert not re.search(
            r"\byou (?:should|must|need to|have to|ought)\b|\b(?:disorder|symptom|depress\w*"
            r"|therap\w*|cheer up|calm down|don't worry|at least|it will pass|try to)\b",
            text,
            re.IGNORECASE,
        )


def test_heavy_feelings_are_not_followed_by_a_nudge(world: World, change_of: ChangeOf) -> None:
    nudge = Detail("nudge", "n", ("Go on now.",))
    for feeling in sorted(HEAVY):
        change = change_of(Deed("feel", feelings=(feeling,)), nudges=(nudge,))

        assert all("Go on now" not in narrate(change, world, turn=n).text for n in range(10))


def test_a_feeling_that_stays_is_met_as_one_that_stayed(world: World, change_of: ChangeOf) -> None:
    first = narrate(change_of(Deed("feel", feelings=("sadness",))), world).text
    again = narrate(change_of(Deed("feel", feelings=("sadness",), again=True)), world).text

    assert first != again


@pytest.mark.parametrize(
    ("thing", "words"),
    [("apple", "an apple"), ("hourglass", "an hourglass"), ("unicorn", "a unicorn figurine"),
     ("bread", "some bread"), ("oars", "oars"), ("sea", "the sea")],
)  # fmt: skip
def test_names_take_their_articles(
    make_world: Callable[..., World], change_of: ChangeOf, thing: str, words: str
) -> None:
    world = make_world()
    held = msgspec.structs.replace(world.things[thing], at="player")
    world = msgspec.structs.replace(world, things={thing: held})

    text = narrate(change_of(Deed("inventory")), world).text

    assert f" {words}." in text


def test_plurals_take_their_verbs(world: World, change_of: ChangeOf) -> None:
    texts = [
        narrate(change_of(Deed("where", "already", "here", thing=id)), world, turn=turn).text
        for turn in range(8)
        for id in ("oars",)
    ]

    assert any("oars are" in text for text in texts)
    assert not any("oars is" in text for text in texts)


def test_lists_read_like_lists(world: World, change_of: ChangeOf) -> None:
    text = narrate(change_of(Deed("open", thing="chest", nearby=("apple", "oars", "lamp"))), world)

    assert "an apple, oars and a lamp" in text.text


def test_the_first_sight_of_a_place_names_the_ways_and_a_return_does_not_name_all(
    world: World, change_of: ChangeOf
) -> None:
    place = Detail("place", "pier", ("Here is the pier.",))
    first = Deed("go", place="pier", path=("pier",), arrived=True, details=(place,))
    again = msgspec.structs.replace(first, again=True)

    assert "a lane runs off between hedges" in narrate(change_of(first), world).text
    texts = [narrate(change_of(again), world, turn=turn).text for turn in range(12)]
    assert not all("hedges" in text for text in texts)


def test_what_the_story_says_is_told_instead_of_what_is_said_of_anything(world: World, change_of: ChangeOf) -> None:
    deed = Deed("take", thing="apple", details=(Detail("effect", "apple", ("It is yours.",)),))

    assert narrate(change_of(deed), world).text == "It is yours."


def test_a_text_that_was_just_told_is_not_told_again(world: World, change_of: ChangeOf) -> None:
    deed = Deed("examine", thing="apple", details=(Detail("look", "apple", ("A red apple.",)),))
    first = narrate(change_of(deed), world, turn=1)
    second = narrate(change_of(deed), remembered(world, first), turn=2)

    assert first.text == "A red apple."
    assert "red apple" not in second.text
    assert second.text


def test_a_beat_is_told_whole_with_its_paragraphs(world: World, change_of: ChangeOf) -> None:
    beat = Detail("beat", "end", ("One thing ends.\n\nAnother begins.\n\nIt is evening.",))
    text = narrate(change_of(Deed("wait"), beats=(beat,)), world).text

    assert text.endswith("One thing ends.\n\nAnother begins.\n\nIt is evening.")


@pytest.mark.parametrize("most", [1, 2, 3])
def test_there_are_no_more_paragraphs_than_asked_for(world: World, make_deed: MakeDeed, most: int) -> None:
    rng = random.Random(most)
    for turn in range(40):
        deeds = tuple(make_deed(rng) for _ in range(3))
        change = Change("go", "done", deeds, turn=turn)
        narration = narrate(change, world, turn=turn, max_paragraphs=most)

        assert len(narration.text.split("\n\n")) <= most


def test_the_words_of_a_player_are_said_back_only_if_they_are_fit_to_be(world: World, change_of: ChangeOf) -> None:
    fit = Deed("take", "refused", "unknown-thing", words="unicorn")
    unfit = msgspec.structs.replace(fit, words="<b> {rule} 1234")

    texts = [narrate(change_of(fit), world, turn=n).text for n in range(5)]
    assert all("unicorn" in text for text in texts)
    assert all("rule" not in narrate(change_of(unfit), world, turn=n).text for n in range(5))


def test_a_name_is_said_back_when_it_was_given(world: World, change_of: ChangeOf) -> None:
    assert "Anna" in narrate(change_of(Deed("introduce", person="ada")), world).text


def test_memory_stays_small_however_long_the_story(world: World, make_deed: MakeDeed) -> None:
    rng = random.Random(0)
    for turn in range(200):
        deed = make_deed(rng)
        narration = narrate(Change(deed.name, deed.outcome, (deed,)), world, turn=turn)
        world = remembered(world, narration)

    assert len(world.telling.phrases) <= 160
    assert len(world.telling.said) <= 48


def test_nothing_happened_is_told_as_well(world: World) -> None:
    assert narrate(Change("nothing", "done"), world).text


def _clean(text: str) -> None:
    assert text.strip() == text
    assert text
    for paragraph in text.split("\n\n"):
        assert paragraph
        assert paragraph[-1] in ".!?”’", paragraph
        assert paragraph.count("“") == paragraph.count("”"), paragraph
    outside = re.sub(r"“[^”]*”", "“”", text)
    for pattern in (
        r"[<>{}#]", r"  ", r" [.,;!?]", r"\.\.", r"\b[Aa] (?:[aeio]|hour)", r"(?:^|[.!?] )[a-z]",
        r"\b[Aa]n [bcdfgjklmnpqrstvwxyz]", r"\bthe (?:the|a|Ada|Owl)\b", r"\bNone\b",
        r"\n[^\nA-Z“‘]",
    ):  # fmt: skip
        match = re.search(pattern, outside)
        assert match is None, (pattern, outside[max(0, match.start() - 30) :][:80])


def test_every_rule_is_made_of_sentences() -> None:
    from tta_narrative_generator.grammar import rules

    for name, options in rules().items():
        for option in options:
            assert option[-1] in ".!?”’>", (name, option)
            assert option[0].isupper() or option[0] in "“‘<", (name, option)


def test_every_slot_and_rule_that_a_template_names_exists(world: World, change_of: ChangeOf) -> None:
    known = {"thing", "target", "person", "place", "nearby", "name", "direction", "words", "owner",
             "options", "near", "one", "other", "route", "way", "goal", "people", "carried", "worn",
             "loose", "ways", "places"}  # fmt: skip
    from tta_narrative_generator.grammar import rules

    for name, options in rules().items():
        for tag in (tag for option in options for tag in re.findall(r"<([^<>]+)>", option)):
            last: Any = tag.split()[-1]
            assert last in known or last in rules(), (name, tag)


def test_a_refusal_told_a_moment_ago_is_put_plainly(world: World, change_of: ChangeOf) -> None:
    deed = Deed("open", "refused", "locked", thing="chest", details=(
        Detail("refusal", "chest", ("The chest is locked, and Ada has the key.",)),
    ))  # fmt: skip
    first = narrate(change_of(deed), world)
    second = narrate(change_of(deed), remembered(world, first))

    assert first.text == "The chest is locked, and Ada has the key."
    assert "locked" in second.text


def test_who_has_said_all_their_comfort_keeps_company(world: World, change_of: ChangeOf) -> None:
    deed = Deed("feel", feelings=("sadness",), person="ada", details=(
        Detail("comfort", "ada", ("Ada pours the tea.",), "heavy"),
    ))  # fmt: skip
    told = []
    for turn in range(4):
        narration = narrate(change_of(deed), world, turn=turn)
        world = remembered(world, narration)
        told.append(narration.text)

    assert sum("Ada pours the tea." in text for text in told) == 1
    assert all("Ada" in text for text in told)


def test_what_was_left_undone_is_always_said(world: World, change_of: ChangeOf) -> None:
    deed = Deed("take", "refused", "unknown-thing", words="sword")
    pairs = [(narrate(change_of(deed), world, turn=n).text, narrate(change_of(deed, left=("go",)), world, turn=n).text)
             for n in range(8)]  # fmt: skip

    assert all(whole.startswith(plain) and whole != plain for plain, whole in pairs)


def test_strolling_is_told_as_strolling(world: World, change_of: ChangeOf) -> None:
    assert "pier" in narrate(change_of(Deed("stroll", place="pier")), world).text


@pytest.mark.parametrize("feeling", sorted(HEAVY))
def test_every_heavy_feeling_has_words_of_its_own(world: World, change_of: ChangeOf, feeling: str) -> None:
    told = {narrate(change_of(Deed("feel", feelings=(feeling,))), world, turn=n).text for n in range(12)}
    other = {narrate(change_of(Deed("feel", feelings=("confusion",))), world, turn=n).text for n in range(12)}

    assert feeling == "confusion" or not told & other


def test_whoever_fears_to_be_wrong_is_told_no(world: World, change_of: ChangeOf) -> None:
    told = [narrate(change_of(Deed("may", manner="blame")), world, turn=n).text for n in range(12)]

    assert all(text.startswith(("No.", "Not")) for text in told)


def test_several_things_are_not_called_it(world: World, change_of: ChangeOf) -> None:
    deeds = (
        Deed("take", "refused", "elsewhere", thing="oars", place="inn"),
        Deed("give", thing="oars", person="ada"), Deed("where", "already", thing="oars", place="player"),
    )  # fmt: skip
    told = [narrate(change_of(deed), world, turn=n).text for n in range(12) for deed in deeds]

    assert not any(f" {wrong} " in text for text in told for wrong in ("saw they", "takes they", "carrying they", "it"))
