"""Reads a pattern, and says which words whatever it matches must have, in outlines.

As Cox's index for regular expressions (https://swtch.com/~rsc/regexp/regexp4.html) and the prefilter of RE2 do it, but
by words and not by three letters anywhere: "i" and "me" say much as words. What isn't understood asks for nothing, so
that its pattern is looked for in every text: too much work, and never a match too few.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from string import ascii_lowercase, digits
from typing import NamedTuple

from .rarity import ANY, BREAK, weight

_MOST = 64
"""How many outlines a part of a pattern may have; what has more is cut in two, and each half asks for its own."""
_MOST_BRANCHES = 16
"""How many branches are kept apart."""
_MOST_CHOICES = 4
"""How many choices alternatives ask for together."""
WITHOUT_END = 1000
"""So many times, or more."""
_WORD = re.compile(r"[0-9a-z_\x80-\U0010ffff]")
_PLAIN = re.compile(r"[0-9a-z]+")
_QUANTIFIER = re.compile(r"[*+?]|\{(\d+)(,?)(\d*)\}")
_GROUP = re.compile(r"\?(?:P?<\w+>|[imsU]*(?:-[imsU]+)?(?::|(?=\))))")
_ESCAPED = re.compile(r"x\{[0-9A-Fa-f]+\}|x[0-9A-Fa-f]{2}|[0-7]{1,3}|[pP](?:\w|\{\^?\w+\})|.", re.DOTALL)
_NAMED_CLASS = re.compile(r"\[:\^?\w+:\]")
_BREAKS = frozenset("bAzWs")
_WITHIN = ("w", "d", "b", "A", "z")
"""Escapes of what is of a word, or is no character."""
_LETTERS = frozenset(ascii_lowercase + digits)
_LONGEST_RANGE = 10

Outlines = frozenset[str]


class Branch(NamedTuple):
    """One way to have a part: what it matches has one of the outlines, and around it is one of each of the choices."""

    outlines: Outlines
    choices: tuple[Outlines, ...] = ()


class Part(NamedTuple):
    """Part of a pattern: what it matches is as one of the branches says."""

    branches: tuple[Branch, ...]
    gaps: int = 0
    """How often a word may end in it."""


_NOTHING = Part((Branch(frozenset({""})),))


def read_pattern(pattern: str) -> tuple[Sequence[Sequence[Outlines]], int]:
    """Return branches, each a few sets of outlines, and how many words a match may have, `WITHOUT_END` at most.

    A text in lower case that a pattern of RE2's matches has one outline of each set of a branch.
    """
    reader = _Reader(pattern)
    try:
        whole = reader.alternatives()
    except _NotUnderstood:
        return ((),), WITHOUT_END
    if not reader.done:
        return ((),), WITHOUT_END
    return [_all_asked(it) for it in whole.branches], min(whole.gaps + 1, WITHOUT_END)


class _NotUnderstood(Exception):
    """The pattern has something that the reader doesn't know."""


class _Reader:
    """Reads RE2's syntax by recursive descent; whether a pattern is right, RE2 has said before."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._pattern)

    def alternatives(self) -> Part:
        found = [self._sequence()]
        while self._take("|"):
            found.append(self._sequence())
        return _either(found)

    def _sequence(self) -> Part:
        found = _NOTHING
        while not self.done and self._pattern[self._at] not in "|)":
            found = _joined(found, self._plain() or self._repeated(self._single()))
        return found

    def _plain(self) -> Part | None:
        """Read letters as they stand; the last one is left where it is repeated."""
        run = _PLAIN.match(self._pattern, self._at)
        if not run:
            return None
        end = run.end() - bool(_QUANTIFIER.match(self._pattern, run.end()))
        text = self._pattern[self._at : end]
        self._at = end
        return Part((Branch(frozenset({text})),)) if text else None

    def _take(self, char: str) -> bool:
        there = self._pattern.startswith(char, self._at)
        self._at += there
        return there

    def _next(self) -> str:
        if self.done:
            raise _NotUnderstood
        self._at += 1
        return self._pattern[self._at - 1]

    def _match(self, expression: re.Pattern[str]) -> re.Match[str]:
        found = expression.match(self._pattern, self._at)
        if not found:
            raise _NotUnderstood
        self._at = found.end()
        return found

    def _single(self) -> Part:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == "\\":
            within = self._pattern[self._at : self._at + 1] in _WITHIN
            return _one_of({self._escaped()}, within=within)
        if char == ".":
            return _one_of({ANY}, within=False)
        if char in "^$":
            return _one_of({BREAK}, within=True)
        return _one_of({_outline(char)}, within=char in _LETTERS)

    def _group(self) -> Part:
        if self._pattern.startswith("?", self._at):
            self._match(_GROUP)
        inner = self.alternatives()
        if not self._take(")"):
            raise _NotUnderstood
        return inner

    def _escaped(self) -> str:
        name = self._match(_ESCAPED)[0]
        if name in _BREAKS:
            return BREAK
        if name in ("Q", "C"):
            raise _NotUnderstood
        if name == "x20":
            return BREAK
        return ANY if name.isalnum() or len(name) > 1 else _outline(name)

    def _class(self) -> Part:
        """Read a class of characters; one that is negated, or has many, may be whatever."""
        anything = self._take("^")
        within = not anything
        found: set[str] = set()
        first = True
        while first or not self._pattern.startswith("]", self._at):
            first = False
            if self._pattern.startswith("[:", self._at):
                self._match(_NAMED_CLASS)
                anything = True
                within = False
                continue
            char = self._next()
            within &= char in _LETTERS or (char == "\\" and self._pattern[self._at : self._at + 1] in ("w", "d"))
            found.add(self._escaped() if char == "\\" else _outline(char))
            if not self._pattern.startswith("-", self._at) or self._pattern.startswith("-]", self._at):
                continue
            self._at += 1
            last = self._next()
            within &= last in _LETTERS and char.isdigit() == last.isdigit()
            if last == "\\":
                self._escaped()
            if "\\" in (char, last) or ord(last) - ord(char) > _LONGEST_RANGE:
                anything = True
            else:
                found |= {_outline(chr(code)) for code in range(ord(char), ord(last) + 1)}
        self._at += 1
        return _one_of({ANY} if anything or ANY in found else found, within=within)

    def _repeated(self, part: Part) -> Part:
        while found := _QUANTIFIER.match(self._pattern, self._at):
            self._at = found.end()
            if found[0] in "*+?":
                least, most = int(found[0] == "+"), 1 if found[0] == "?" else WITHOUT_END
            else:
                least = int(found[1])
                most = int(found[3] or WITHOUT_END) if found[2] else least
            self._take("?")  # Whether few or many are preferred changes nothing.
            part = _times(part, least, most)
        return part


def _one_of(outlines: Iterable[str], *, within: bool) -> Part:
    """Return one character, which ends a word unless it is within one, or is no character at all."""
    return Part((Branch(frozenset(outlines)),), 0 if within else 1)


def _outline(char: str) -> str:
    # Texts are in lower case when they are searched: a capital letter matches none, unless the pattern is told to.
    lower = char.lower()
    return lower if _WORD.match(lower) else BREAK


def _joined(one: Part, other: Part) -> Part:
    """Return what both have, one behind the other."""
    left, right = one.branches, other.branches
    if len(left) * len(right) > _MOST_BRANCHES:
        left, right = (_together(left), right) if len(left) >= len(right) else (left, _together(right))
    if len(left) * len(right) > _MOST_BRANCHES:
        left, right = _together(left), _together(right)
    return Part(tuple(_behind(a, b) for a in left for b in right), one.gaps + other.gaps)


def _behind(one: Branch, other: Branch) -> Branch:
    choices = one.choices
    left = one.outlines
    if len(left) * len(other.outlines) > _MOST:
        choices += _asked(left)
        left = _edges(left)
    outlines = frozenset(_chained(a, b) for a in left for b in other.outlines)
    return Branch(outlines, (*choices, *other.choices))


def _either(parts: Sequence[Part]) -> Part:
    """Return what any of the parts has: outlines that ask for nothing else become one branch."""
    plain = Outlines()
    branches: list[Branch] = []
    for branch in (branch for part in parts for branch in part.branches):
        if branch.choices or len(plain) + len(branch.outlines) > _MOST:
            branches.append(branch)
        else:
            plain |= branch.outlines
    if plain:
        branches.append(Branch(plain))
    found = tuple(branches)
    return Part(_together(found) if len(found) > _MOST_BRANCHES else found, max(it.gaps for it in parts))


def _together(branches: Sequence[Branch]) -> tuple[Branch, ...]:
    """Return one branch for many; it asks for less."""
    if len(branches) == 1:
        return tuple(branches)
    outlines = Outlines().union(*(it.outlines for it in branches))
    if len(outlines) <= _MOST and not any(it.choices for it in branches):
        return (Branch(outlines),)
    asked = [sorted(_all_asked(it), key=weight) for it in branches]
    if not all(asked):
        return (Branch(_edges(outlines)),)
    # The best of each branch make one choice together, the second best another one.
    ranks = range(min(max(map(len, asked)), _MOST_CHOICES))
    choices = (Outlines().union(*(it[min(rank, len(it) - 1)] for it in asked)) for rank in ranks)
    return (Branch(_edges(outlines), tuple(choices)),)


def _times(part: Part, least: int, most: int) -> Part:
    """Return what a part has that is there so many times."""
    if most == 0:
        return _NOTHING
    if least == most == 1:
        return part
    (branch,) = _together(part.branches)
    outlines = branch.outlines
    plain = outlines <= {"", BREAK}
    # However many characters are between two words, it is one gap.
    gaps = part.gaps if plain else min(part.gaps * most, WITHOUT_END)
    if not least:
        # What may be missing asks for nothing: but the ending of a word makes another word of it.
        exact = plain or (most == 1 and not any(BREAK in it or ANY in it for it in outlines))
        return Part((Branch((outlines if exact else _edges(outlines)) | {""}),), gaps)
    if plain:
        return Part((branch,), gaps)
    ends = _edges(outlines)
    if len(outlines) * len(ends) * 2 > _MOST:
        return Part((Branch(ends, _all_asked(branch)),), gaps)
    more = frozenset(_chained(_chained(a, ANY), b) for a in outlines for b in ends)
    return Part((Branch(outlines | more if least == 1 else more, branch.choices),), gaps)


def _chained(one: str, other: str) -> str:
    """Return two outlines as one, without what says nothing at the seam."""
    if one[-1:] == other[:1] and one[-1:] in (BREAK, ANY):
        return one + other[1:]
    if one.endswith(ANY) and other.startswith(BREAK + ANY):
        return one + other[2:]
    if one.endswith(ANY + BREAK) and other.startswith(ANY):
        return one[:-1] + other[1:]
    return one + other


def _edges(outlines: Iterable[str]) -> Outlines:
    """Return of outlines whether they begin and end where a word does."""
    return frozenset(map(_edge, outlines))


def _edge(outline: str) -> str:
    if outline in ("", BREAK):
        return outline
    return (BREAK if outline[0] == BREAK else "") + ANY + (BREAK if outline[-1] == BREAK else "")


def _asked(outlines: Outlines) -> tuple[Outlines, ...]:
    """Return outlines as a choice; none where one of them asks for nothing."""
    return (outlines,) if all(map(_WORD.search, outlines)) else ()


def _all_asked(branch: Branch) -> tuple[Outlines, ...]:
    return (*branch.choices, *_asked(branch.outlines))
