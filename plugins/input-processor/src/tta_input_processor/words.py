"""The small words: directions, articles, prepositions, and all that only leads up to a command."""

from __future__ import annotations

from .tables import listed, phrases, words

_TABLE = words()
DIRECTIONS = {word: way for way, group in _TABLE.directions.items() for word in listed(group)}
COMPASS = frozenset({"north", "south", "east", "west", "northeast", "northwest", "southeast",
                     "southwest"})  # fmt: skip
LETTERS = _TABLE.letters
ARTICLES = frozenset(listed(_TABLE.articles))
PREPOSITIONS = frozenset(listed(_TABLE.prepositions))
CARELESS = frozenset(listed(_TABLE.careless))
"""Words that change nothing about what is to be done."""
JUNCTIONS = frozenset({".", ";", "!", "?", ",", ":", *listed(_TABLE.junctions)})
OPENINGS = phrases(_TABLE.openings)
NEGATIONS = phrases(_TABLE.negations)
LIFE = frozenset(listed(_TABLE.life))
"""Words of a life outside of the story."""
SAYINGS = phrases(_TABLE.sayings)
"""Turns of phrase of that life."""
COMMON = frozenset(listed(_TABLE.common))
WISHES = frozenset({"want", "would", "wish", "like", "love", "need", "should", "wanna"})


def expand(words: tuple[str, ...], cased: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Write contractions out, in both spellings."""
    found: list[str] = []
    original: list[str] = []
    for word, typed in zip(words, cased, strict=True):
        written = _TABLE.contractions.get(word)
        if word == "u" and len(words) > 1 and found[-1:] not in (["go"], ["head"]):
            # On its own it is the way up.
            written = "you"
        if written is None and word.endswith("'s") and len(word) > 3:
            # A possessive; "the keeper's cottage" is known by that name, too.
            written = word[:-2] + "s"
        if written is None:
            found.append(word.replace("'", ""))
            original.append(typed)
            continue
        parts = written.split()
        found += parts
        original += [typed[:1] + parts[0][1:], *parts[1:]] if parts else []
    return found, original
