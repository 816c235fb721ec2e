"""The statistical head, and the weights that come with the package."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tta_safety import CATEGORIES, KINDS
from tta_safety_rules.features import number, pair, stem, triple, words_of
from tta_safety_rules.head import BEFORE, SENTIMENT, StatisticalHead, load_head
from tta_safety_rules.scores import CRISIS
from tta_safety_rules.sums import SMOOTH
from tta_safety_rules.weights import (
    CARD,
    DEEP,
    HEAD,
    Calibration,
    HeadCard,
    Weights,
    pack,
    packaged,
    read_card,
    read_weights,
)

MOST_BYTES = 2_000_000
COLUMNS = ("suicide", SENTIMENT, "ethics", "ethics" + BEFORE)


@pytest.fixture(scope="module")
def head() -> StatisticalHead:
    return load_head()


def tiny() -> tuple[Weights, StatisticalHead]:
    """Make a head whose sums can be done by hand: scales of 1, so that a byte is a weight."""
    grams = {pair(number(stem("no")), number(stem("hope"))): [5, 0, 0, 0], number("part <xyz"): [9, 0, 0, 0]}
    rows = sorted(grams.items())
    weights = Weights(
        COLUMNS, (1.0, 1.0, 1.0, 1.0), (-1.0, 0.5, 0.0, 0.0), "hope\nno", bytes([254, 3, 0, 7, 2, 0, 1, 0]),
        b"".join(gram.to_bytes(8, "little") for gram, _ in rows), b"".join(bytes(row) for _, row in rows),
    )  # fmt: skip
    return weights, StatisticalHead(weights, HeadCard("tiny@1", "", {}, {}))


def test_a_score_is_the_sum_of_the_weights_of_words_and_pairs() -> None:
    _, head = tiny()
    size = math.sqrt(2 + SMOOTH)
    odds = head.odds("No hope")
    assert odds["suicide"] == pytest.approx((2 - 2 + 5) / size - 1)
    assert odds[SENTIMENT] == pytest.approx(3 / size + 0.5)


def test_what_the_player_wrote_counts_by_weights_of_its_own() -> None:
    _, head = tiny()
    alone = head.odds("no", "")["ethics"]
    assert "ethics" not in head.odds("no")
    assert head.odds("no", "hope")["ethics"] == pytest.approx(alone + 7 / math.sqrt(1 + SMOOTH))


def test_an_unknown_word_is_read_by_its_parts_and_a_stretched_one_as_the_word() -> None:
    _, head = tiny()
    assert head.odds("xyz")["suicide"] == pytest.approx(9 / math.sqrt(1 + SMOOTH) - 1)
    assert head.odds("hooope") == head.odds("hope")
    assert head.score("hope xyz").known == 0.5


def test_calibration_turns_odds_into_probabilities() -> None:
    weights, _ = tiny()
    head = StatisticalHead(weights, HeadCard("tiny@1", "", {"suicide": Calibration(2.0, 1.0)}, {}))
    odds = 2.0 * (5 / math.sqrt(2 + SMOOTH) - 1) + 1.0
    assert head.score("no hope").risks["suicide"] == pytest.approx(1 / (1 + math.exp(-odds)))


def test_weights_are_the_same_after_a_round_trip_and_the_same_bytes_each_time() -> None:
    weights, _ = tiny()
    assert read_weights(pack(weights)) == weights
    assert pack(weights) == pack(weights)


def test_one_sentence_in_a_long_story_is_seen(head: StatisticalHead) -> None:
    story = "The sun went down behind the hills and the carter sang as he drove his horse home to the farm. " * 12
    said = "I want to kill myself tonight."
    alone = head.score(said).risks["suicide"]
    buried = head.score(story + said + " " + story).risks["suicide"]
    assert buried > head.score(story).risks["suicide"] + 0.2 * alone


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("suicide", "i dont want to be alive any more"), ("self_harm", "I cut my arms again last night"),
        ("substance", "I can't stop drinking, I shake until I have the first one"),
        ("abuse", "my husband hit me again and I am scared of him"),
        ("panic", "I can't breathe and my heart is racing"),
        ("psychosis", "the voices tell me that they are watching me through the walls"),
        ("eating_disorder", "I made myself throw up after dinner again"),
    ],
)  # fmt: skip
def test_each_kind_is_told_from_a_fight_with_a_dragon(head: StatisticalHead, kind: str, text: str) -> None:
    risks = head.score(text).risks
    assert risks[kind] > head.score("I draw my sword and kill the dragon").risks[kind] + 0.2
    assert risks[kind] == max(risks[each] for each in KINDS)


def test_gladness_and_sadness_are_told_apart(head: StatisticalHead) -> None:
    glad, sad = head.score("I love this, thank you!").sentiment, head.score("I hate this, it is awful").sentiment
    assert glad is not None
    assert sad is not None
    assert glad > 0.3 > -0.3 > sad


def test_a_foreign_language_is_unknown_and_english_is_not(head: StatisticalHead) -> None:
    assert head.score("ich möchte heute abend nicht mehr nach hause gehen").known < 0.6
    assert head.score("tidak ada yang peduli padaku lagi").known < 0.5
    assert head.score("I walk to the lighthouse and knock").known == 1.0
    assert head.score("Хочу домой сегодня вечером пожалуйста").known < 0.2


def test_a_text_without_a_word_has_no_score(head: StatisticalHead) -> None:
    scores = head.score(" …!? ")
    assert (scores.risks, scores.sentiment, scores.words) == ({}, None, 0)


@given(st.text(st.characters(), max_size=300), st.none() | st.text(st.characters(), max_size=50))
@settings(max_examples=200, deadline=None)
def test_any_text_has_probabilities(text: str, before: str | None) -> None:
    scores = _HEAD.score(text, before)
    assert all(0 <= risk <= 1 for risk in scores.risks.values())
    assert 0 <= scores.known <= 1
    assert scores.sentiment is None or -1 <= scores.sentiment <= 1


_HEAD = load_head()


def test_a_megabyte_takes_seconds_at_most(head: StatisticalHead) -> None:
    began = time.process_time()
    head.score("I don't know what to do " * 42_000)
    head.score("x" * 1_000_000)
    assert time.process_time() - began < 20


def test_the_files_are_those_of_the_card() -> None:
    card = read_card((packaged() / CARD).read_bytes())
    for name, of in ((HEAD, card.statistical), (DEEP, card.deep)):
        assert hashlib.sha256((packaged() / name).read_bytes()).hexdigest() == of.sha256
    assert len((packaged() / HEAD).read_bytes()) + len((packaged() / DEEP).read_bytes()) < MOST_BYTES


def test_the_card_has_a_threshold_for_each_column_and_names_only_categories() -> None:
    card = read_card((packaged() / CARD).read_bytes())
    for of in (card.statistical, card.deep):
        assert set(of.thresholds) == {"player", "story", "tool"}
        assert set(of.thresholds["player"]) == {*KINDS, CRISIS}
        for points in of.thresholds.values():
            assert set(points) <= {*CATEGORIES, CRISIS}
            assert all(0 < it.warning <= it.escalate for it in points.values())


def test_the_card_says_from_what_was_learned_and_what_it_cannot_do() -> None:
    card = read_card((packaged() / CARD).read_bytes())
    assert len(card.data) >= 6
    assert len(card.limits) >= 4
    assert any("MIT" in line for line in card.data)


def test_loading_the_head_imports_no_numpy() -> None:
    code = "import sys; from tta_safety_rules.head import load_head; load_head(); print('numpy' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_the_numbers_of_the_packed_sums_are_those_of_the_functions() -> None:
    """The head's loop and training's must agree on what a feature is."""
    first, second, third = (number(stem(word)) for word in words_of("no hope left"))
    rows = sorted([pair(0, first), pair(first, second), triple(0, first, second), triple(first, second, third)])
    weights = Weights(
        COLUMNS, (1.0,) * 4, (0.0,) * 4, "hope\nleft\nno", bytes(12),
        b"".join(row.to_bytes(8, "little") for row in rows), bytes([1, 0, 0, 0]) * 4,
    )  # fmt: skip
    head = StatisticalHead(weights, HeadCard("tiny@1", "", {}, {}))
    assert head.odds("no hope left")["suicide"] == pytest.approx(4 / math.sqrt(3 + SMOOTH))
    assert json.dumps(head.score("no hope left").known) == "1.0"
