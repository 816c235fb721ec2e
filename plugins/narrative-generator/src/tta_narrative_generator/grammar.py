"""A small grammar in the manner of Tracery: rules with alternatives, and slots.

A template holds ``<slot>``, ``<modifier slot>`` such as ``<the thing>``, and ``<rule.name>``. Which
alternative is told depends on the seed, the turn, and what was told lately; nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Protocol
from zlib import crc32

import msgspec

from tta_world import Telling

Rules = Mapping[str, tuple[str, ...]]
_TAG = re.compile(r"<([^<>]{1,40})>")
_DEPTH = 6
CLOSE = 6
"""Within so many turns nobody is consoled twice in the same words."""


class GrammarError(Exception):
    """A rule or slot that a template names doesn't exist."""


@cache
def rules() -> Rules:
    """Read the shipped rules, flattened: ``take.done`` names its alternatives."""
    found: dict[str, tuple[str, ...]] = {}
    folder = files(__package__) / "rules"
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".yaml"):
            _flatten(msgspec.yaml.decode(entry.read_bytes()), "", found)
    return found


def _flatten(node: object, prefix: str, found: dict[str, tuple[str, ...]]) -> None:
    if isinstance(node, dict):
        for key, value in node.items():
            _flatten(value, f"{prefix}.{key}" if prefix else str(key), found)
    elif isinstance(node, list) and all(isinstance(item, str) for item in node):
        found[prefix] = tuple(item.strip() for item in node)
    else:
        raise GrammarError(f"rule {prefix!r}: not a list of texts")


def digest(text: str) -> str:
    """Return a short key for a text."""
    return f"{crc32(text.encode()):08x}"


def mark(turn: int) -> str:
    """Return the key that stands before those of one turn."""
    return digest(f"turn {turn}")


class Verbatim(str):
    """Words that are to be said as they are, even if something in the world has them for its id."""

    __slots__ = ()


class Chooser:
    """Chooses among alternatives: by seed and turn, and one that wasn't told lately."""

    def __init__(self, telling: Telling, seed: int, turn: int) -> None:
        self._age = {key: age for age, key in enumerate(telling.phrases)}
        marks = [self._age[key] for key in (mark(turn - back) for back in range(1, CLOSE + 1)) if key in self._age]
        self._close = min(marks, default=len(self._age))
        self._salt = f"{seed}/{turn}"
        self.used: list[str] = []

    def choose(self, options: Sequence[str]) -> str:
        """Choose one; the longest unheard where all of them were told lately."""
        ranked = sorted((self._rank(option), crc32(f"{self._salt}/{option}".encode()), option) for option in options)
        option = ranked[0][2]
        key = digest(option)
        self.used.append(key)
        self._age[key] = len(self._age) + 10_000
        return option

    def recently_used(self, option: str) -> bool:
        """Tell whether an alternative is still remembered."""
        return digest(option) in self._age

    def is_close(self, option: str) -> bool:
        """Tell whether an alternative was told within the last `CLOSE` turns, or already in this one."""
        return self._age.get(digest(option), -1) > self._close

    def roll(self, label: str, sides: int) -> int:
        """Roll a die that falls the same way for the same seed, turn and label."""
        return crc32(f"{self._salt}/{label}".encode()) % sides

    def _rank(self, option: str) -> int:
        return self._age.get(digest(option), -1)


class Expander:
    """Expands templates with the words for their slots."""

    def __init__(self, chooser: Chooser, words: Wording) -> None:
        self._choose = chooser.choose
        self._words = words

    def rule(self, name: str, slots: Mapping[str, object], keep: Callable[[str], bool] | None = None) -> str:
        """Expand one alternative of a rule whose slots are all filled; nothing if there is none.

        With ``keep`` only those are told that it keeps.
        """
        options = rules().get(name)
        if not options:
            raise GrammarError(f"rule {name!r}: there is none")
        filled = [option for option in options if _filled(option, slots) and (keep is None or keep(option))]
        return self.template(self._choose(filled), slots) if filled else ""

    def template(self, text: str, slots: Mapping[str, object], depth: int = 0) -> str:
        """Expand a template."""
        if depth > _DEPTH:
            raise GrammarError(f"template {text!r}: rules go round in a circle")

        def replace(match: re.Match[str]) -> str:
            *modifiers, name = match[1].split(" ")
            if name in slots:
                return self._words.phrase(slots[name], modifiers[0] if modifiers else "")
            if name in rules():
                options = rules()[name]
                return self.template(self._choose(options), slots, depth + 1)
            raise GrammarError(f"template {text!r}: no slot or rule {name!r}")

        return _TAG.sub(replace, text)


def _filled(option: str, slots: Mapping[str, object]) -> bool:
    names = (tag.split(" ")[-1] for tag in _TAG.findall(option))
    return all(slots[name] for name in names if name in slots)


class Wording(Protocol):
    """How a slot's value is put into words; `nouns` knows the world's names."""

    def phrase(self, value: object, modifier: str) -> str:
        """Return the words for a value under a modifier such as ``the``."""
