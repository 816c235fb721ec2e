from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_safety_rules.folding import fold


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("I want to k1ll mys3lf", "i want to kill myself"),
        ("k i l l m y s e l f", "kill myself"),
        ("k.i.l.l m.y.s.e.l.f", "kill myself"),
        ("w a n t  t o  d i e", "want to die"),
        ("kiiiiill myselffff", "kill myself"),
        ("k*ll myself, s*****e", "kill myself, suicide"),
        ("klil mysefl, sucide", "kill myself, suicide"),
        ("k\u0131ll m\u0443self", "kill myself"),
        ("\uff4b\uff49\uff4c\uff4c", "kill"),
        ("ki\u200bll\u202e", "kill"),
        ("I\u2019m", "i'm"),
        ("\U0001f52b", " gun "),
        ("at 5pm I took 20mg, rolled a d20 and ran 10k", "at 5pm i took 20mg, rolled a d20 and ran 10k"),
        ("The U.S.A. is e.g. far", "the u.s.a. is e.g. far"),
    ],
)
def test_a_text_is_read_as_it_was_meant(text: str, meant: str) -> None:
    assert fold(text).text == meant


def test_what_nothing_was_undone_in_stays_as_it_is() -> None:
    folded = fold("I take the lantern, and go.")

    assert (folded.text, folded.changed) == ("i take the lantern, and go.", False)
    assert folded.origin(7, 18) == (7, 18)


def test_a_place_in_the_folded_text_is_found_in_the_original() -> None:
    text = "So: I want to k\u200b1ll m y s e l f, now"
    folded = fold(text)
    start = folded.text.index("kill")

    found = text[slice(*folded.origin(start, start + len("kill myself")))]

    assert found == "k\u200b1ll m y s e l f"


@given(st.text(max_size=300))
def test_every_span_lies_in_the_original(text: str) -> None:
    folded = fold(text)
    for start in range(0, len(folded.text), 7):
        first, last = folded.origin(start, min(len(folded.text), start + 5))
        assert 0 <= first <= last <= len(text)


@pytest.mark.parametrize(
    "text",
    ["a" * 100_000, "e" + "\u0301" * 100_000, "a " * 50_000, "a*" * 50_000, "a1" * 50_000, "\0" * 100_000,
     "\ud800" * 9_000],
    ids=["letters", "marks", "spaced", "stars", "digits", "nul", "halves"],
)  # fmt: skip
def test_no_text_takes_longer_than_its_length_says(text: str) -> None:
    began = time.process_time()
    fold(text)

    assert time.process_time() - began < 2
