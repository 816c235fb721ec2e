"""Slips of the key: the nearest known word, with a bound on how much is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from .words import COMMON

_LOOKUPS = 12
"""How many unknown words of one text are compared with the vocabulary."""


class Spelling:
    """A vocabulary in which unknown words look for their nearest neighbour."""

    def __init__(self, vocabulary: Iterable[str]) -> None:
        self._known = frozenset(vocabulary)
        self._by_length = _by_length(self._known)
        self._left = _LOOKUPS
        self._seen: dict[str, tuple[str, ...]] = {}

    def __contains__(self, word: str) -> bool:
        return word in self._known

    def correct(self, word: str) -> str | None:
        """Return the known word that is meant, if exactly one is near enough; else None."""
        near = self.near(word)
        return near[0] if len(near) == 1 else None

    def near(self, word: str) -> tuple[str, ...]:
        """Return the known words that are equally near, if any are near enough."""
        if word in self._known or word in COMMON or len(word) < 4 or len(word) > 24:
            return ()
        if word not in self._seen:
            self._left -= 1
            self._seen[word] = self._nearest(word) if self._left >= 0 else ()
        return self._seen[word]

    def _nearest(self, word: str) -> tuple[str, ...]:
        squeezed = _squeeze(word)
        if squeezed in self._known:
            return (squeezed,)
        allowed = 1 if len(word) <= 6 else 2
        best: list[str] = []
        least = allowed + 1
        for length in range(len(word) - allowed, len(word) + allowed + 1):
            for other in self._by_length.get(length, ()):
                # Few people miss the first letter and the last one, too.
                if other[0] != word[0] and (len(word) <= 5 or other[-1] != word[-1]):
                    continue
                # Every third short word is one slip away from another one.
                if len(word) == 4 and sorted(word) != sorted(other):
                    continue
                far = distance(word, other, least + 1)
                if far < least:
                    best = [other]
                    least = far
                elif far == least and far <= allowed:
                    best.append(other)
        return tuple(best[:3])


def distance(one: str, other: str, limit: int) -> int:
    """Count the slips between two words: a letter more, less, different, or two swapped.

    The optimal string alignment distance; ``limit`` or more is returned as ``limit``.
    """
    if abs(len(one) - len(other)) >= limit:
        return limit
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        last = before
        before = row
        row = [i] + [0] * len(other)
        for j, b in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, last[j - 2] + 1)
            row[j] = cost
        if min(row) >= limit:
            return limit
    return min(row[-1], limit)


def _squeeze(word: str) -> str:
    """Take the drawl out: `soooo` is `so`, `heelp` stays."""
    kept: list[str] = []
    for index, char in enumerate(word):
        if len(kept) < 1 or char != kept[-1] or word[max(0, index - 2) : index] != char * 2:
            kept.append(char)
    text = "".join(kept)
    # What is left of a run of three or more is a double letter; take that, too.
    for index in range(len(text) - 1):
        if text[index] == text[index + 1] and text[index] * 3 in word:
            return text[:index] + text[index + 1 :]
    return text


@lru_cache(256)  # A world has the same words in each of its turns.
def _by_length(known: frozenset[str]) -> Mapping[int, Sequence[str]]:
    found: dict[int, list[str]] = {}
    for word in sorted(known):
        if len(word) >= 4:
            found.setdefault(len(word), []).append(word)
    return found
