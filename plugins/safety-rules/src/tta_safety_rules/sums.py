"""Sums of learned weights over the words, pairs and triples of a text, for many columns at once."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence

from .features import TRIPLE, number, parts, stem, windows
from .weights import Weights

SMOOTH = 3
"""So many words are added to the length of a text: one of a single word isn't as sure as its word."""
_OFFSET = 128
_LANE = 4
_REPEATED = re.compile(r"(.)\1+")


class Sums:
    """Sums some of the columns of `Weights`.

    The weights of all columns are packed into one integer, 32 bits a column, each a byte above zero by an offset, and a
    last column that counts: so a feature costs one look-up and one addition for all columns together. It is faster for
    a line of chat than the same sums in NumPy, whose import alone would take longer than loading the weights.
    """

    def __init__(self, weights: Weights, columns: Sequence[str]) -> None:
        width = len(weights.columns)
        chosen = [weights.columns.index(column) for column in columns]
        self._lanes = struct.Struct(f"<{len(columns) + 1}I")
        rows = _packed(weights.word_weights, width, chosen)
        self._words = {word: (row, stems) for (word, stems), row in zip(weights.vocabulary, rows, strict=True)}
        self._grams = dict(zip(weights.gram_numbers, _packed(weights.gram_weights, width, chosen), strict=True))

    def read(self, words: Sequence[str]) -> tuple[list[int], int]:
        """Return for each word the packed weights of all that ends with it, and how many words are known."""
        found = []
        unknown = 0
        known_words, grams = self._words.get, self._grams.get
        before = last = 0
        for place, word in enumerate(words):
            entry = known_words(word)
            if entry is None:
                entry = self._unheard(word)
                unknown += 1
            total, current = entry
            # `pair` and `triple` of features, written out: calling them takes longer than what they do.
            both = (last * 3) ^ current
            total += grams(both, 0)
            if place:
                total += grams((before * 5 + TRIPLE) ^ both, 0)
            found.append(total)
            before, last = last, current
        return found, len(words) - unknown

    def views(self, features: Sequence[int]) -> list[list[float]]:
        """Return the sums of each window over a text, by the root of its number of words."""
        cuts = list(windows(len(features)))
        if len(cuts) == 1:
            return [self._view(features)]
        return [self._view(features[start:end]) for start, end in cuts]

    def _view(self, features: Sequence[int]) -> list[float]:
        *lanes, count = self._lanes.unpack(sum(features).to_bytes(self._lanes.size, "little"))
        size = 1 / math.sqrt(len(features) + SMOOTH)
        zero = _OFFSET * count
        return [(lane - zero) * size for lane in lanes]

    def _unheard(self, word: str) -> tuple[int, int]:
        """Return what there is of a word outside the vocabulary: the word that it stretches, or its parts."""
        if _REPEATED.search(word):
            for kept in (r"\1\1", r"\1"):
                entry = self._words.get(_REPEATED.sub(kept, word))
                if entry is not None:
                    return entry
        return sum(self._grams.get(part, 0) for part in parts(word)), number(stem(word))


def _packed(weights: bytes, width: int, chosen: Sequence[int]) -> list[int]:
    """Pack the chosen columns of each row of signed bytes into one integer, and a one for the column that counts."""
    size = (len(chosen) + 1) * _LANE
    rows = len(weights) // width
    spread = bytearray(rows * size)
    for lane, column in enumerate(chosen):
        spread[lane * _LANE :: size] = weights[column::width].translate(_RAISED)
    spread[len(chosen) * _LANE :: size] = bytes([1]) * rows
    return [int.from_bytes(spread[start : start + size], "little") for start in range(0, len(spread), size)]


_RAISED = bytes((byte + _OFFSET) % 256 for byte in range(256))
"""For each byte, read as a signed number, that number above zero."""
