"""Phrases: cutting words at prepositions, and telling the ones that matter from the rest."""

from __future__ import annotations

from collections.abc import Sequence

from tta_world import Entity

from .names import Names
from .words import ARTICLES, CARELESS, DIRECTIONS, PREPOSITIONS

Segments = list[tuple[str, list[str]]]
Slots = tuple[dict[str, Entity], float]
"""What was understood of the words after a verb, and how much of them that is."""


def segments(words: Sequence[str], names: Names) -> Segments:
    """Cut at prepositions, but not inside of names such as `book of tides`."""
    covered = names.spans(words)
    found: Segments = [("", [])]
    for at, word in enumerate(words):
        if word in PREPOSITIONS and at not in covered:
            found.append((word, []))
        else:
            found[-1][1].append(word)
    return found


def direction(word: str) -> Entity | None:
    """Return the direction that a word names."""
    id = DIRECTIONS.get(word)
    return Entity(text=word, kind="direction", id=id) if id else None


def significant(words: Sequence[str]) -> list[str]:
    """Leave out articles and adverbs."""
    return [word for word in words if word not in CARELESS and word not in ARTICLES]


def drop_preposition(words: Sequence[str]) -> list[str]:
    """Leave out prepositions at the beginning."""
    rest = list(words)
    while rest and rest[0] in PREPOSITIONS and len(rest) > 1:
        rest = rest[1:]
    return [] if len(rest) == 1 and rest[0] in PREPOSITIONS else rest
