"""The tables in lexicon/, read once. Lists stand between commas there, so that `no` is a word."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T")
Phrase = tuple[str, ...]


class _Table(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class VerbLine(_Table, frozen=True):
    """Phrases that ask for one command, and how what follows them is read."""

    command: str
    shape: str
    phrases: str
    manner: str = ""


class FeelingLine(_Table, frozen=True):
    """Words for one feeling, and how strong they are."""

    feeling: str
    strength: float
    phrases: str


class Words(_Table, frozen=True):
    """The small words."""

    directions: Mapping[str, str]
    letters: Mapping[str, str]
    articles: str
    prepositions: str
    careless: str
    junctions: str
    openings: str
    negations: str
    contractions: Mapping[str, str]
    life: str
    sayings: str
    common: str


class Feelings(_Table, frozen=True):
    """How people speak of feelings."""

    words: tuple[FeelingLine, ...]
    sayings: tuple[FeelingLine, ...]
    leads: str
    bare: str
    weak: str
    not_alone: str
    stronger: str
    weaker: str
    skipped: str


class Questions(_Table, frozen=True):
    """How questions begin."""

    where: str
    about: str
    welfare: str
    naming: str
    who: str
    what: str
    may: str
    blame: str
    must: str


def listed(text: str) -> tuple[str, ...]:
    """Take a list apart at its commas."""
    return tuple(part.strip() for part in text.split(","))


def phrases(text: str) -> tuple[Phrase, ...]:
    """Take a list of phrases apart into words, the longest phrase first."""
    found = (tuple(part.split()) for part in listed(text))
    return tuple(sorted(found, key=lambda phrase: (-len(phrase), phrase)))


def _read(name: str, type: type[T]) -> T:
    raw = (files(__package__) / "lexicon" / f"{name}.yaml").read_bytes()
    return msgspec.yaml.decode(raw, type=type)


@cache
def words() -> Words:
    """Return the small words."""
    return _read("words", Words)


@cache
def feelings() -> Feelings:
    """Return the words for feelings."""
    return _read("feelings", Feelings)


@cache
def questions() -> Questions:
    """Return the beginnings of questions."""
    return _read("questions", Questions)


@cache
def verbs() -> tuple[VerbLine, ...]:
    """Return the verbs."""
    return _read("verbs", tuple[VerbLine, ...])
