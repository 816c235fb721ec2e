"""Finds the few patterns that a text may have by its words: each is looked at once, however many patterns there are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from itertools import groupby, pairwise
from operator import or_

import msgspec
from ahocorasick_rs import BytesAhoCorasick

from .outlines import WITHOUT_END, Outlines, read_pattern
from .rarity import BREAK, Phrases, phrases_of, share, weight

_MOST_CLAUSES = 3
_FEW = 4
"""Up to how many ways to have a cue are looked at one by one."""
_MOST_REMEMBERED = 20_000
"""Of how many words it is remembered what they say."""
_LONGEST_REMEMBERED = 40
_SPACES = bytes(ord(chr(it).lower()) if chr(it).isalnum() or it in b"_" else 32 for it in range(128)) + bytes(
    range(128, 256)
)
_BEYOND = re.compile(rb"[\x80-\xff]+")
_FOREIGN = "\xff"
"""Stands behind the words of a text that isn't ASCII."""

Cue = str
"""A word, two in a row, or a part of a word: " to die " are two words, "die " ends one."""
Clause = tuple[Cue, ...]
"""Of these one is there; each once, and sorted."""


# What follows holds nothing that the garbage collector would have to look at. There are 23,000 ways: it stopped
# everything for 70 ms, once in two reloads.
class Way(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One way to have a pattern: a cue by which it is found, and what else there must be."""

    key: Cue
    other: Cue = ""
    """Whole words, if any."""
    ordered: Phrases = ()
    """All phrases in their order, where there is more than the key."""
    clauses: tuple[Clause, ...] = ()


class Needs(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a text must have for a pattern to match: all that one of the ways says, in so many words.

    Nothing is known of a pattern without a way.
    """

    ways: tuple[Way, ...] = ()
    words: int = WITHOUT_END
    share: float = 1.0
    """In which share of texts the pattern is looked for, roughly."""


def needs_of(pattern: str) -> Needs:
    """Return what a text in lower case must have for a pattern of RE2's to match."""
    branches, words = read_pattern(pattern)
    if not all(branches):
        return Needs()
    ways: list[Way] = []
    total = 0.0
    for branch in branches:
        best, *others = sorted(branch, key=weight)
        total += weight(best)
        clauses = (_clause(_cues_of(outline)[0] for outline in it) for it in others[:_MOST_CLAUSES])
        ways += _ways(best, tuple(clauses))
    return Needs(tuple(sorted(ways, key=_order)), words, min(total, 1.0))


def _order(way: Way) -> tuple[Cue, tuple[Clause, ...], Cue, Phrases]:
    """Sort ways the same in each process, those together that have a key and clauses in common."""
    return way.key, way.clauses, way.other, way.ordered


def _clause(cues: Iterable[Cue]) -> Clause:
    return tuple(sorted({*cues}))


def _ways(choice: Outlines, clauses: tuple[Clause, ...]) -> Iterator[Way]:
    """Yield the ways to have one of some outlines; many that have a cue in common become one."""
    by_key: dict[Cue, list[str]] = {}
    for outline in choice:
        by_key.setdefault(_cues_of(outline)[0], []).append(outline)
    for key, outlines in by_key.items():
        others = [next(filter(_is_whole, _cues_of(it)[1:]), "") for it in outlines]
        if len(outlines) > _FEW:
            yield Way(key, clauses=clauses if "" in others else (*clauses, _clause(others)))
            continue
        for outline, other in zip(outlines, others, strict=True):
            phrases = phrases_of(outline) if outline.isascii() else ()
            yield Way(key, other, phrases if phrases != (key,) else (), clauses)


def _cues_of(outline: str) -> Sequence[Cue]:
    """Return the cues of an outline, the rarest first, and none that another one says already."""
    if not outline.isascii():
        return (_FOREIGN,)
    cues = {cue for phrase in phrases_of(outline) for cue in _cues_in(phrase)}
    found: list[Cue] = []
    said: set[Cue] = set()
    for cue in sorted(cues, key=lambda it: (share(it), it)):
        if cue not in said:
            found.append(cue)
            said.update(f"{BREAK}{word}{BREAK}" for word in cue.split())
    return found


def _cues_in(phrase: str) -> Iterator[Cue]:
    """Yield the words of a phrase, and each two in a row; the first and the last word may be but parts of some."""
    words = [f"{BREAK}{it}{BREAK}" for it in phrase.split()]
    if not phrase.startswith(BREAK):
        words[0] = words[0][1:]
    if not phrase.endswith(BREAK):
        words[-1] = words[-1][:-1]
    yield from words
    yield from (one + other[1:] for one, other in pairwise(words) if _is_whole(one) and _is_whole(other))


def _is_whole(cue: Cue) -> bool:
    return cue.startswith(BREAK) and cue.endswith(BREAK)


_Asked = tuple[int, int, int, tuple[tuple[bytes, tuple[bytes, ...]], ...]]
"""Ways that have key and clauses in common.

Whose they are, the bits of the clauses, in how many words all is, and of each way the other cue and the phrases.
Plain tuples: these, too, the garbage collector leaves alone.
"""
_Said = tuple[tuple[_Asked, ...], int]
"""What a cue says: it is the key of some ways, and fulfils the clauses that have these bits."""
_NOTHING: _Said = ((), 0)


class PhraseIndex:
    """Says which patterns a text may have; their numbers go on where those of ``base``, which is part of it, end.

    Each word of a text, and each two in a row, may be the key of a few ways. Of these what else they need is looked
    for, first anywhere in the text, then near the key.
    """

    def __init__(self, needs: Sequence[Needs], base: PhraseIndex | None = None) -> None:
        first = base._count if base else 0
        self._count: int = first + len(needs)
        self._always: list[int] = [*base._always] if base else []
        self._clauses: dict[Clause, int] = {**base._clauses} if base else {}
        self._whole: dict[bytes, _Said] = {**base._whole} if base else {}
        self._pairs: dict[tuple[bytes, ...], _Said] = {**base._pairs} if base else {}
        self._parts: dict[bytes, _Said] = {**base._parts} if base else {}
        ways: dict[Cue, list[_Asked]] = {}
        bits: dict[Cue, int] = {}
        shared: dict[int, int] = {}
        for number, it in enumerate(needs, first):
            if not it.ways:
                self._always.append(number)
            for (key, clauses), alike in groupby(it.ways, lambda way: (way.key, way.clauses)):
                fulfilled = reduce(or_, (self._bit(clause, bits) for clause in clauses), 0)
                # One for all that are alike: what is looked at for a text should stay in the processor's cache.
                fulfilled = shared.setdefault(fulfilled, fulfilled)
                each = tuple((way.other.encode(), tuple(it.encode() for it in way.ordered)) for way in alike)
                ways.setdefault(key, []).append((number, fulfilled, it.words, each))
        for cue in ways.keys() | bits.keys():
            self._add(cue, tuple(ways.get(cue, ())), bits.get(cue, 0))
        there = base._words if base and base._parts == self._parts else None
        self._words: _Words = _Words(self._whole, self._parts, there)

    def _bit(self, clause: Clause, bits: dict[Cue, int]) -> int:
        """Return the bit that says that a text has one of these cues."""
        if clause not in self._clauses:
            self._clauses[clause] = 1 << len(self._clauses)
        for cue in clause:
            bits[cue] = bits.get(cue, 0) | self._clauses[clause]
        return self._clauses[clause]

    def _add(self, cue: Cue, ways: tuple[_Asked, ...], bits: int) -> None:
        spoken = _spoken(cue)
        if not isinstance(spoken, bytes):
            before = self._pairs.get(spoken, _NOTHING)
            self._pairs[spoken] = (before[0] + ways, before[1] | bits)
            return
        whole = _is_whole(cue) or cue == _FOREIGN
        table, key = (self._whole, spoken) if whole else (self._parts, cue.encode())
        before = table.get(key, _NOTHING)
        table[key] = (before[0] + ways, before[1] | bits)

    def candidates(self, words: Sequence[bytes]) -> Sequence[int]:
        """Return the numbers of the patterns that a text may have, in order."""
        said = [*map(self._words.__getitem__, words)]
        keys = [(at, ways) for at, (ways, _) in enumerate(said) if ways]
        fulfilled = [bits for _, bits in said]
        for at, more in enumerate(map(self._pairs.get, pairwise(words))):
            if more is not None:
                fulfilled[at] |= more[1]
                if more[0]:
                    keys.append((at, more[0]))
        anywhere = reduce(or_, filter(None, fulfilled), 0)
        text = _joined(words)
        found = set(self._always)
        for at, ways in keys:
            for number, clauses, most, each in ways:
                if clauses & anywhere != clauses or number in found:
                    continue
                for other, ordered in each:
                    if other not in text:
                        continue
                    near = slice(max(0, at - most), at + most + 1)
                    if clauses and reduce(or_, filter(None, fulfilled[near])) & clauses != clauses:
                        break
                    if not ordered or _in_order(ordered, _joined(words[near])):
                        found.add(number)
                        break
        return sorted(found)


class _Words(dict[bytes, _Said]):
    """By word what it says; one that is asked for the first time is looked through for what its parts say."""

    def __init__(self, whole: dict[bytes, _Said], parts: dict[bytes, _Said], alike: _Words | None) -> None:
        super().__init__()
        self._whole = whole
        self._parts = [*parts.values()]
        self._finder: BytesAhoCorasick = alike._finder if alike is not None else BytesAhoCorasick([*parts])

    def __missing__(self, word: bytes) -> _Said:
        said = self._whole.get(word, _NOTHING)
        for number, _, _ in self._finder.find_matches_as_indexes(b" %b " % word, overlapping=True):
            ways, bits = self._parts[number]
            said = (said[0] + ways, said[1] | bits)
        if len(word) <= _LONGEST_REMEMBERED:
            if len(self) >= _MOST_REMEMBERED:
                self.clear()
            self[word] = said
        return said


def _spoken(cue: Cue) -> bytes | tuple[bytes, ...]:
    """Return a cue as it is among a text's words and pairs."""
    words = tuple(it.encode() for it in cue.split())
    return words if len(words) > 1 else b"".join(words)


def words_of(raw: bytes) -> Sequence[bytes]:
    """Return the words of a text in UTF-8; what isn't ASCII parts words."""
    plain = raw.translate(_SPACES)
    if plain.isascii():
        return plain.split()
    return [*_BEYOND.sub(b" ", plain).split(), _FOREIGN.encode()]


def _joined(words: Sequence[bytes]) -> bytes:
    return b" %b " % b" ".join(words)


def _in_order(phrases: tuple[bytes, ...], text: bytes) -> bool:
    at = 0
    for phrase in phrases:
        at = text.find(phrase, at)
        if at < 0:
            return False
        at += len(phrase) - 1  # Two phrases may share the space between them.
    return True
