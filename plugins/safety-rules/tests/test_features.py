"""What the statistical head reads."""

from __future__ import annotations

import pytest

from tta_safety_rules.features import STEP, WINDOW, number, pair, parts, stem, triple, windows, words_of


def test_words_are_the_same_with_and_without_apostrophes_and_in_capitals() -> None:
    assert words_of("I DON'T know, I don’t 🔪") == ["i", "dont", "know", "i", "dont", "🔪"]


@pytest.mark.parametrize(
    ("word", "root"), [("killing", "kil"), ("kills", "kil"), ("cutting", "cut"), ("hurts", "hurt")]
)
def test_forms_of_a_word_share_a_stem(word: str, root: str) -> None:
    assert stem(word).startswith(root)
    assert stem(word) == stem(stem(word))


def test_numbers_are_the_same_in_every_process() -> None:
    assert number("hope") == 2394579148
    assert pair(number("no"), number("hope")) != pair(number("hope"), number("no"))
    assert triple(0, 1, 2) != pair(1, 2)


def test_a_misspelt_word_shares_parts_with_what_was_meant() -> None:
    assert len(set(parts("suicde")) & set(parts("suicide"))) >= 2
    assert len(parts("a" * 1000)) <= 12


def test_half_a_surrogate_pair_is_a_word_like_any_other() -> None:
    assert [number(word) for word in words_of("a \ud83d b")]


@pytest.mark.parametrize("count", [0, 1, WINDOW, WINDOW + 9, 1000])
def test_windows_leave_no_word_out(count: int) -> None:
    seen = {place for start, end in windows(count) for place in range(start, end)}
    assert seen == set(range(count))
    assert all(end - start <= WINDOW + STEP // 2 for start, end in windows(count))
