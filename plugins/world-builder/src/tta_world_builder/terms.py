"""The small language of conditions and effects in a story's YAML, such as ``has brass-key``."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import NamedTuple

from tta_world import COMMANDS, PLAYER

# What the words after a term's first one must be: ids of the story, beats, or anything at all.
CONDITIONS: dict[str, str] = {
    "day": "none", "dry": "none", "fair": "none",       # not at night; no rain; clear or breezy
    "period": "any", "weather": "any",                  # any of these
    "flag": "any", "not-flag": "any",
    "beat": "beats", "nobeat": "beats",
    "has": "ids", "has-not": "ids",
    "is": "id any", "isnt": "id any",                   # a thing and its state
    "at": "ids", "not-at": "ids", "visited": "ids",                      # any of these places
    "near": "ids", "away": "ids", "with": "ids", "met": "ids", "unmet": "ids",
    "told": "id any",                                   # a character and a topic
    "companion": "ids", "not-companion": "ids",
    "opening": "none",                                  # the first turn of all
    "arrived": "none", "did": "commands",               # in this turn
    "lit": "none", "outside": "none", "fire": "none",   # a flame is at hand
    "never": "none",
}  # fmt: skip
EFFECTS: dict[str, str] = {
    "flag": "any", "beat": "beats",
    "set": "id any", "unset": "id any",                 # a thing's state
    "move": "id id",                                    # a thing or character, to a holder
    "restore": "ids",                                   # as it was at first
    "know": "ids", "reveal": "id any",                  # a place; a place and a direction
    "weather": "any", "time": "any",
    "companion": "ids",
}  # fmt: skip
SOFT = frozenset({"day", "dry", "fair"})
"""Conditions that only keep a text from being untrue: it stands beside the others, not before."""


class Term(NamedTuple):
    """One condition or effect."""

    word: str
    args: tuple[str, ...]
    effect: bool

    def problems(self, ids: Collection[str], beats: Collection[str]) -> Iterator[str]:
        """Say what this term names that the story doesn't have."""
        shape = (EFFECTS if self.effect else CONDITIONS).get(self.word)
        text = " ".join((self.word, *self.args))
        if shape is None:
            yield f"{text!r}: unknown word"
            return
        holders = {*ids, PLAYER, "nowhere"}
        allowed = {"ids": ids, "beats": beats, "commands": COMMANDS}.get(shape)
        if shape == "none":
            bad = bool(self.args)
        elif allowed is not None:
            bad = not self.args or any(arg not in allowed for arg in self.args)
        elif shape.startswith("id "):
            bad = len(self.args) != 2 or self.args[0] not in ids
            bad = bad or (shape == "id id" and self.args[1] not in holders)
        else:
            bad = not self.args
        if bad:
            yield f"{text!r}: names something that there isn't"


@lru_cache(maxsize=4096)
def terms(text: str, *, effects: bool) -> tuple[Term, ...]:
    """Read terms that stand between commas."""
    found = []
    for part in text.split(","):
        word, *args = part.split()
        found.append(Term(word, tuple(args), effects))
    return tuple(found)


@lru_cache(maxsize=4096)
def split(text: str) -> tuple[tuple[Term, ...], str]:
    """Take a text apart into the conditions in its leading brackets and what is to be told."""
    if not text.startswith("["):
        return (), text
    head, _, rest = text[1:].partition("]")
    return terms(head, effects=False), rest.lstrip()
