"""Cutting what was said into clauses, each of which says one thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .verbs import begins
from .words import JUNCTIONS, NEGATIONS, OPENINGS, WISHES

MAX_CLAUSES = 24
_FILLING = frozenset({"really", "actually", "just", "honestly", "basically", "literally", "simply"})
_MARKS = frozenset(".;!?,:")
# `go and see`, `wait and see` are one thing to do.
_TOGETHER = frozenset({"go", "come", "try", "wait"})
_PAIRS = frozenset({
    ("up", "down"), ("back", "forth"), ("in", "out"), ("to", "fro"), ("round", "round"), ("again", "again"),
    ("more", "more"), ("on", "on"), ("over", "over"), ("sick", "tired"),
})  # fmt: skip
"""What stands on both sides of an `and` that joins no sentences."""
ASKING = frozenset({"where", "who", "what", "when", "why", "how", "which", "whose", "is", "are",
                     "do", "does", "did", "was", "were", "am", "has", "shall",
                     "should"})  # fmt: skip


class Clause(NamedTuple):
    """A few words that belong together."""

    words: tuple[str, ...]
    cased: tuple[str, ...]
    junction: str
    """What stands before it: a comma, `and`, `but`, …; empty for the first."""
    question: bool

    def without(self, count: int) -> Clause:
        """Return the clause without its first words."""
        return self._replace(words=self.words[count:], cased=self.cased[count:])


def split_clauses(words: Sequence[str], cased: Sequence[str]) -> list[Clause]:
    """Cut at punctuation and at the words that join sentences."""
    found: list[Clause] = []
    start = 0
    junction = ""
    for at, word in enumerate([*words, "."]):
        if word not in JUNCTIONS:
            continue
        if word == "but" and at and words[at - 1] == "anything":
            continue
        if word == "and" and at and words[at - 1] in _TOGETHER and at - start == 1:
            continue
        if word == "and" and tuple(words[at - 1 : at + 2 : 2]) in _PAIRS:
            continue
        if at > start:
            part = tuple(words[start:at])
            asked = word == "?" or part[0] in ASKING
            found.append(Clause(part, tuple(cased[start:at]), junction, asked))
            junction = ""
        # `, and then`: the strongest of them counts.
        if junction in ("", ",") or word in (".", "but", "or"):
            junction = word
        if word in _MARKS and word != ",":
            junction = "."
        start = at + 1
        if len(found) >= MAX_CLAUSES:
            break
    return found


class Stripped(NamedTuple):
    """A clause without what only leads up to it."""

    clause: Clause
    wish: bool
    """It was said to be wanted, rather than done."""
    negation: str
    """The words by which it was declined, if it was."""


def strip_fillers(clause: Clause) -> Clause:
    """Leave out `really`, `just` and the like, which only stand in the way of what is asked."""
    kept = [at for at, word in enumerate(clause.words) if word not in _FILLING]
    if not kept or len(kept) == len(clause.words):
        return clause
    words = tuple(clause.words[at] for at in kept)
    return clause._replace(words=words, cased=tuple(clause.cased[at] for at in kept))


def strip_lead_in(clause: Clause) -> Stripped:
    """Take `I think I'll just`, `could you please` and `I don't want to` off a clause."""
    wish = False
    clause = strip_fillers(clause)
    for _ in range(6):
        rest = clause.words
        if rest[:1] == ("try",) and begins(rest[1:]):
            clause = clause.without(1)
            continue
        for phrase in NEGATIONS:
            if rest[: len(phrase)] == phrase:
                return Stripped(clause.without(len(phrase)), wish, " ".join(phrase))
        for phrase in OPENINGS:
            if phrase[-1] == "and" and begins(rest) > len(phrase):
                # `go and see` is a verb of its own.
                continue
            if rest[: len(phrase)] == phrase and len(rest) > len(phrase):
                wish = wish or bool(WISHES & set(phrase))
                clause = clause.without(len(phrase))
                break
        else:
            break
    return Stripped(clause, wish, "")
