"""Texts that evade, by a seed: what is hidden, framed or split is found, and what is only alike is not."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import anyio
import pytest

from tta_safety import About, Level
from tta_safety_rules.checker import Checker
from tta_safety_rules.engine import Engine

from .generator import CRISES, FRAMES, NEUTRAL, PLAY, framed, pairs, perturbed

SEED = 20261129


def test_nearly_all_that_is_found_is_found_however_it_is_written(level: Callable[..., Level]) -> None:
    missed: Counter[str] = Counter()
    texts = perturbed(SEED)
    for _, name, text in texts:
        missed[name] += level(text) == "safe"

    each = len(texts) / len({name for _, name, _ in texts})
    assert 1 - missed.total() / len(texts) >= 0.9, missed
    assert max(missed.values()) / each <= 0.35, missed


def test_the_frame_of_fiction_hides_no_crisis(level: Callable[..., Level]) -> None:
    texts = framed()
    hidden = [text for _, text in texts if level(text) == "safe"]

    assert len(hidden) / len(texts) <= 0.03, hidden


def test_what_is_played_is_safe_with_any_frame(level: Callable[..., Level]) -> None:
    texts = [*PLAY, *(frame.format(text) for frame in FRAMES for text in PLAY)]

    assert [text for text in texts if level(text) != "safe"] == []


def test_pairs_of_the_same_words_are_told_apart(level: Callable[..., Level]) -> None:
    wrong = [pair for pair in pairs() if level(pair[0]) == "safe" or level(pair[1]) != "safe"]

    assert len(pairs()) >= 300
    assert len(wrong) / len(pairs()) <= 0.02, wrong[:20]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in CRISES.items() for text in texts])
def test_neutral_text_case_and_space_around_it_hide_nothing(kind: str, text: str, level: Callable[..., Level]) -> None:
    rng = random.Random(SEED)
    around = NEUTRAL * rng.randint(6, 10)
    for written in (
        around + text,
        f"{text}. {around}",
        text.upper(),
        text.replace(" ", "   "),
        f"\n\n{text}\t",
        text + "!!",
    ):
        assert level(written) != "safe", written
    assert level(around) == "safe"


@pytest.mark.parametrize("more", ["tonight", "right now, I have a gun", "tonight with these pills"])
@pytest.mark.parametrize("text", CRISES["suicide"])
def test_a_time_or_means_never_lower_the_severity(text: str, more: str, look: Callable[..., object]) -> None:
    def severity(written: str) -> int:
        return max((it.severity for it in look(written).findings if it.level != "safe"), default=0)  # type: ignore[attr-defined]

    assert severity(f"{text} {more}") >= severity(text)


@pytest.mark.parametrize(
    "text",
    [
        "I would never kill myself", "I used to want to die, years ago", "my character says: I want to die",
        "I want to die lol", "what if I killed myself", 'the song goes "I want to die"', "I don't want to kill myself",
    ],
)  # fmt: skip
def test_context_makes_a_doubt_of_a_persons_own_crisis_and_never_nothing(
    text: str, look: Callable[..., object]
) -> None:
    found = look(text)

    assert found.level() == "warning"  # type: ignore[attr-defined]
    assert found.kinds == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "text", ["I can't stop thinking of killing myself", "I don't want to live", "not only do I want to die, I will"]
)
def test_a_negation_that_is_the_symptom_is_none(text: str, look: Callable[..., object]) -> None:
    assert look(text).kinds == ["suicide"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["I stab myself", "I drink the poison", "I throw myself off the cliff"])
def test_harm_to_ones_own_figure_is_a_doubt(text: str, look: Callable[..., object]) -> None:
    found = look(text)

    assert (found.level(), found.kinds) == ("warning", [])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "text",
    [
        "bro ya no quiero vivir fr", "ich will nicht mehr leben, nobody gets it", "aku mau mati saja, sorry",
        "i am so tired, je veux mourir", "gonna unalive myself", "sewerslide is the only answer", "time to ctb",
    ],
)  # fmt: skip
def test_another_tongue_or_a_code_word_in_a_sentence_hides_nothing(text: str, look: Callable[..., object]) -> None:
    assert look(text).kinds == ["suicide"]  # type: ignore[attr-defined]


def test_more_evidence_never_makes_less_of_a_crisis(look: Callable[..., object]) -> None:
    for kind, texts in CRISES.items():
        for one in texts:
            alone = look(one)
            for other in ("I have a plan for it", "I wrote the note today", "My gun is on the table next to me"):
                both = look(f"{one}. {other}.")
                assert set(both.kinds) >= set(alone.kinds), (kind, one, other)  # type: ignore[attr-defined]
                assert all(both.risks[it] >= risk for it, risk in alone.risks.items()), one  # type: ignore[attr-defined]


def test_a_crisis_cut_in_two_anywhere_is_seen(engine: Engine) -> None:
    async def named(first: str, second: str) -> bool:
        checker = Checker(engine)
        one = (await checker.examine(first, "player", About(turn=1))).verdict
        two = (await checker.examine(second, "player", About(turn=2), state=one.state)).verdict
        return bool(one.kinds or two.kinds)

    async def missed() -> list[tuple[str, str]]:
        words = [text.split() for text in CRISES["suicide"]]
        cuts = [(" ".join(it[:at]), " ".join(it[at:])) for it in words for at in range(1, len(it))]
        return [cut for cut in cuts if not await named(*cut)]

    assert anyio.run(missed) == []
