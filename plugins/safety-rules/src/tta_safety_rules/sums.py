"""Sums of learned weights over the words, pairs and triples of a text, for many columns at once."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from itertools import chain, repeat
from operator import add, xor

from .features import TRIPLE, number, parts, stem, windows
from .weights import Weights

SMOOTH = 3
"""So many words are added to the length of a text: one of a single word isn't as sure as its word."""
_OFFSET = 128
_LANE = 4
_REPEATED = re.compile(r"(.)\1+")

_Entry = tuple[int, int, int, int]
"""A word's packed weights, the number of its stem, and what this is in `pair` and in `triple` if other words follow."""
_ZEROS = repeat(0)


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
        self._words = {word: _entry(row, stems) for (word, stems), row in zip(weights.vocabulary, rows, strict=True)}
        self._grams = dict(zip(weights.gram_numbers, _packed(weights.gram_weights, width, chosen), strict=True))

    def read(self, words: Sequence[str]) -> tuple[list[list[float]], int]:
        """Return the sums of each window over a text, by the root of its number of words, and how many are known."""
        entries = [self._words.get(it) for it in words]
        unknown = entries.count(None)
        if unknown:
            entries = [it or self._unheard(word) for word, it in zip(words, entries, strict=True)]
        rows, stems, threes, fives = zip(*filter(None, entries), strict=True)
        pairs = [*map(xor, (0, *threes), stems)]
        triples = map(xor, (TRIPLE, *fives), pairs[1:])
        by_pair, by_triple = map(self._grams.get, pairs, _ZEROS), map(self._grams.get, triples, _ZEROS)
        cuts = [*windows(len(words))]
        if len(cuts) == 1:
            total = sum(chain(rows, filter(None, by_pair), filter(None, by_triple)))
            return [self._view(total, len(words))], len(words) - unknown
        by_place = [*map(add, map(add, rows, by_pair), chain((0,), by_triple))]
        views = [self._view(sum(by_place[start:end]), end - start) for start, end in cuts]
        return views, len(words) - unknown

    def _view(self, total: int, count: int) -> list[float]:
        *lanes, features = self._lanes.unpack(total.to_bytes(self._lanes.size, "little"))
        size = 1 / math.sqrt(count + SMOOTH)
        zero = _OFFSET * features
        return [(lane - zero) * size for lane in lanes]

    def _unheard(self, word: str) -> _Entry:
        """Return what there is of a word outside the vocabulary: the word that it stretches, or its parts."""
        if _REPEATED.search(word):
            for kept in (r"\1\1", r"\1"):
                entry = self._words.get(_REPEATED.sub(kept, word))
                if entry is not None:
                    return entry
        return _entry(sum(self._grams.get(part, 0) for part in parts(word)), number(stem(word)))


def _entry(row: int, stems: int) -> _Entry:
    # Here and in `read` stands what `pair` and `triple` of features do: calling them takes longer than what they do.
    return row, stems, stems * 3, stems * 5 + TRIPLE


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
