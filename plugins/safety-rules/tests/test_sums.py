"""The statistical head's sums are those that features describe, one word after the other."""

from __future__ import annotations

import itertools
import re
import string

from hypothesis import given
from hypothesis import strategies as st

from tta_safety_rules.features import number, pair, parts, stem, triple, windows, words_of
from tta_safety_rules.sums import Sums
from tta_safety_rules.weights import Weights

WORDS = ["hope", "hoping", "no", "walks", "walk", "lost"]
STEMS = [0, *sorted({number(stem(word)) for word in WORDS})]
PARTS = parts("xyzzy")
GRAMS = sorted(
    {*itertools.starmap(pair, itertools.product(STEMS, repeat=2))}
    | {*itertools.islice(itertools.starmap(triple, itertools.product(STEMS, repeat=3)), 0, None, 2)}
    | {*PARTS}
)
WEIGHTS = {gram: place % 251 - 125 for place, gram in enumerate(GRAMS)}
SUMS = Sums(
    Weights(
        ("suicide",), (1.0,), (0.0,), "\n".join(WORDS), bytes(range(1, 1 + len(WORDS))),
        b"".join(gram.to_bytes(8, "little") for gram in GRAMS), bytes(it % 256 for it in WEIGHTS.values()),
    ),
    ["suicide"],
)  # fmt: skip


def weights(words: list[str]) -> list[int]:
    """Return for each word the weights of what ends with it, as the features are described."""
    found = []
    stems = [0, 0, *(number(stem(word)) for word in words)]
    for place, word in enumerate(words):
        first, second, third = stems[place : place + 3]
        total = WORDS.index(word) + 1 if word in WORDS else sum(WEIGHTS.get(it, 0) for it in parts(word))
        total += WEIGHTS.get(pair(second, third), 0)
        total += WEIGHTS.get(triple(first, second, third), 0) if place else 0
        found.append(total)
    return found


@given(st.lists(st.sampled_from([*WORDS, "xyzzy", "xyz", "unheard"]), min_size=1, max_size=90))
def test_the_sums_of_a_text_are_those_of_its_features(words: list[str]) -> None:
    views, known = SUMS.read(words)
    expected = weights(words)
    for [seen], (start, end) in zip(views, windows(len(words)), strict=True):
        assert round(seen * (end - start + 3) ** 0.5) == sum(expected[start:end])
    assert known == sum(word in WORDS for word in words)


@given(st.text(alphabet=string.printable))
def test_words_of_plain_text_are_runs_of_letters_and_digits(text: str) -> None:
    assert words_of(text) == re.findall(r"[a-z0-9]+", text.lower().replace("'", ""))
