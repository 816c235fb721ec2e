"""Finds the few patterns that a text may have, by the phrases in it: one pass, however many patterns there are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import prod
from typing import NamedTuple

from ahocorasick_rs import BytesAhoCorasick, Implementation

from .outlines import choices_of
from .rarity import Phrases, phrases_of, rarest, rarest_word, share, weight

_MOST_CLAUSES = 3
_FEW = 4
"""Up to how many ways to have a phrase are looked at one by one."""
_SPACES = bytes(ord(chr(it).lower()) if chr(it).isalnum() or it in b"_" else 32 for it in range(128)) + bytes(
    range(128, 256)
)
_BEYOND = re.compile(rb"[\x80-\xff]+")


class Needs(NamedTuple):
    """What a text must have for a pattern to match: all phrases of one of the ways, and of each clause one word.

    Nothing is known of a pattern without a way.
    """

    ways: frozenset[Phrases] = frozenset()
    clauses: tuple[frozenset[str], ...] = ()

    @property
    def share(self) -> float:
        """In which share of texts the pattern is looked for, roughly."""
        return sum(prod(map(share, it)) for it in self.ways)


def needs_of(pattern: str) -> Needs:
    """Return what a text in lower case must have for a pattern of RE2's to match."""
    first, *others = [frozenset(map(phrases_of, it)) for it in sorted(choices_of(pattern), key=weight)] or [frozenset()]
    clauses = [frozenset(map(rarest_word, it)) for it in others[:_MOST_CLAUSES]]
    return Needs(first, tuple(it for it in clauses if "" not in it))


class _Way(NamedTuple):
    """What more a pattern needs where a phrase is there."""

    pattern: int
    second: bytes
    """Another word, or none."""
    clauses: int
    """For each clause a bit."""
    ordered: tuple[bytes, ...]
    """All phrases in their order."""


class PhraseIndex:
    """Says which patterns a text may have.

    The rarest phrase of each way is looked for in one pass (Aho-Corasick). What else is needed where that one is there
    is asked of the text's words: each stands for some bits, one for itself, and one for each clause that it fulfils.
    """

    def __init__(self, needs: Sequence[Needs]) -> None:
        self._always = frozenset(number for number, it in enumerate(needs) if not it.ways)
        self._fulfilled: dict[bytes, int] = {}
        self._bits: dict[frozenset[str], int] = {}
        ways: dict[str, list[_Way]] = {}
        for pattern, it in enumerate(needs):
            clauses = sum({self._bit(clause) for clause in it.clauses})
            groups: dict[str, list[Phrases]] = {}
            for phrases in it.ways:
                groups.setdefault(rarest(phrases), []).append(phrases)
            for key, alternatives in groups.items():
                ways.setdefault(key, []).extend(self._ways_by(key, pattern, alternatives, clauses))
        self._ways = list(ways.values())
        self._keys = BytesAhoCorasick([it.encode() for it in ways], implementation=Implementation.ContiguousNFA)

    def _bit(self, clause: frozenset[str]) -> int:
        """Return the bit that says that a text has one of these words."""
        if clause not in self._bits:
            self._bits[clause] = 1 << len(self._bits)
            for word in clause:
                name = word.encode()
                self._fulfilled[name] = self._fulfilled.get(name, 0) | self._bits[clause]
        return self._bits[clause]

    def _ways_by(self, key: str, pattern: int, ways: list[Phrases], clauses: int) -> Iterator[_Way]:
        """Yield the ways to have a pattern that has a key; many become one."""
        others = [rarest_word(it for it in phrases if it != key) for phrases in ways]
        if len(ways) > _FEW:
            yield _Way(pattern, b"", clauses if "" in others else clauses | self._bit(frozenset(others)), ())
            return
        for word, phrases in zip(others, ways, strict=True):
            yield _Way(
                pattern, word.encode(), clauses, tuple(it.encode() for it in phrases) if len(phrases) > 1 else ()
            )

    def candidates(self, words: Words) -> Sequence[int]:
        """Return the numbers of the patterns that a text may have, in order."""
        text, there = words
        fulfilled = 0
        for bits in filter(None, map(self._fulfilled.get, there)):
            fulfilled |= bits
        found = set(self._always)
        for key, _, _ in self._keys.find_matches_as_indexes(text, overlapping=True):
            for pattern, second, clauses, ordered in self._ways[key]:
                if second in there and clauses & fulfilled == clauses and (not ordered or _in_order(ordered, text)):
                    found.add(pattern)
        return sorted(found)


class Words(NamedTuple):
    """A text with one space around each word, and its words; what isn't ASCII parts words, and follows them all."""

    text: bytes
    there: set[bytes]


def words_of(raw: bytes) -> Words:
    """Return the words of a text in UTF-8; no word, too, is one that is there."""
    plain = raw.translate(_SPACES)
    if plain.isascii():
        words = plain.split()
        return Words(b" %b " % b" ".join(words), {b"", *words})
    words = _BEYOND.sub(b" ", plain).split()
    return Words(b" %b \n%b" % (b" ".join(words), b" ".join(_BEYOND.findall(plain))), {b"", *words})


def _in_order(phrases: tuple[bytes, ...], text: bytes) -> bool:
    at = 0
    for phrase in phrases:
        at = text.find(phrase, at)
        if at < 0:
            return False
        at += len(phrase) - 1  # Two phrases may share the space between them.
    return True
