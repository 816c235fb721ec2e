"""Finds the few patterns that a text may have, by the phrases in it: one pass, however many patterns there are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ahocorasick_rs import BytesAhoCorasick, Implementation

from .outlines import choices_of
from .rarity import Phrases, phrases_of, rarest, rarest_word, weight

_MOST_CLAUSES = 3
_FEW = 4
"""Up to how many ways to have a phrase are looked at one by one."""
_SPACES = bytes(ord(chr(it).lower()) if chr(it).isalnum() or it in b"_" else 32 for it in range(128)) + bytes(
    range(128, 256)
)
_BEYOND = re.compile(rb"[\x80-\xff]+")


class Way(NamedTuple):
    """One way to have a pattern: a phrase by which it is found, and what else there must be."""

    key: str
    words: frozenset[str] = frozenset()
    """One of these, if there are any."""
    ordered: tuple[str, ...] = ()
    """All phrases in their order, where there is more than the key."""


class Needs(NamedTuple):
    """What a text must have for a pattern to match: what one of the ways says, and of each clause one word.

    Nothing is known of a pattern without a way.
    """

    ways: tuple[Way, ...] = ()
    clauses: tuple[frozenset[str], ...] = ()
    share: float = 1.0
    """In which share of texts the pattern is looked for, roughly."""


def needs_of(pattern: str) -> Needs:
    """Return what a text in lower case must have for a pattern of RE2's to match."""
    choices = sorted(choices_of(pattern), key=weight)
    if not choices:
        return Needs()
    outlines = {phrases_of(it): it for it in choices[0]}
    by_key: dict[str, set[Phrases]] = {}
    for phrases in outlines:
        by_key.setdefault(rarest(phrases), set()).add(phrases)
    ways = [way for key, alternatives in by_key.items() for way in _ways_by(key, alternatives)]
    ways.sort(key=lambda it: (it.key, it.ordered, sorted(it.words)))  # The same in each process.
    clauses = [frozenset(rarest_word(phrases_of(it)) for it in choice) for choice in choices[1 : 1 + _MOST_CLAUSES]]
    return Needs(tuple(ways), tuple(it for it in clauses if "" not in it), weight(outlines.values()))


def _ways_by(key: str, alternatives: set[Phrases]) -> Iterator[Way]:
    """Yield the ways that have a key; many become one."""
    if len(alternatives) > _FEW:
        words = frozenset(rarest_word(it for it in phrases if it != key) for phrases in alternatives)
        yield Way(key, frozenset() if "" in words else words)
        return
    for phrases in alternatives:
        word = rarest_word(it for it in phrases if it != key)
        yield Way(key, frozenset({word} if word else ()), phrases if len(phrases) > 1 else ())


class PhraseIndex:
    """Says which patterns a text may have.

    The rarest phrase of each way is looked for in one pass (Aho-Corasick). What else is needed where that one is there
    is asked of the text's words, each of which stands for a bit of each clause that it fulfils.
    """

    def __init__(self, needs: Sequence[Needs]) -> None:
        self._always = frozenset(number for number, it in enumerate(needs) if not it.ways)
        self._fulfilled: dict[bytes, int] = {}
        self._bits: dict[frozenset[str], int] = {}
        # By phrase, whose it is, one more word, the bits of clauses, and all phrases. Plain tuples: these the garbage
        # collector leaves alone, which would otherwise stop everything for as long as it takes to look at them all.
        ways: dict[str, list[tuple[int, bytes, int, tuple[bytes, ...]]]] = {}
        for pattern, it in enumerate(needs):
            clauses = sum({self._bit(clause) for clause in it.clauses})
            for key, words, ordered in it.ways:
                second = next(iter(words)).encode() if len(words) == 1 else b""
                bits = clauses | self._bit(words) if len(words) > 1 else clauses
                ways.setdefault(key, []).append((pattern, second, bits, tuple(it.encode() for it in ordered)))
        self._ways = list(map(tuple, ways.values()))
        self._keys = BytesAhoCorasick([it.encode() for it in ways], implementation=Implementation.ContiguousNFA)

    def _bit(self, clause: frozenset[str]) -> int:
        """Return the bit that says that a text has one of these words."""
        if clause not in self._bits:
            self._bits[clause] = 1 << len(self._bits)
            for word in clause:
                name = word.encode()
                self._fulfilled[name] = self._fulfilled.get(name, 0) | self._bits[clause]
        return self._bits[clause]

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
