"""Tables by which a text that evades is read: look-alikes, pictures, and what mistyped words were meant to be."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_PICTURES = {
    "🔫": " gun ", "🔪": " knife ", "🗡": " knife ", "💊": " pills ", "🩸": " blood ", "⚰": " coffin ", "🪦": " grave ",
    "🪢": " noose ", "💉": " needle ", "☠": " death ", "🪒": " razor ", "😵": " dead ",
}  # fmt: skip
_MOST_KEPT = 50_000


class Words(NamedTuple):
    """``matter`` are mended, spaced letters are cut into those ``known``, ``typos`` lead to what was meant."""

    matter: frozenset[str]
    known: frozenset[str]
    typos: dict[str, str]


class Glyphs(dict[int, str]):
    """What stands for each character beyond ASCII: letters without marks, nothing for what isn't seen."""

    def __init__(self) -> None:
        super().__init__()
        self._alike = _read_alike()

    def __missing__(self, code: int) -> str:
        found = self._meaning(chr(code))
        if len(self) < _MOST_KEPT:
            self[code] = found
        return found

    def _meaning(self, char: str) -> str:
        if char in self._alike:
            return self._alike[char]
        kind = unicodedata.category(char)
        if kind in ("Mn", "Me", "Cf", "Cs", "Cn", "Co"):
            return ""
        if kind == "Zs":
            return " "
        if kind in ("Zl", "Zp"):
            return "\n"
        if 0x1F1E6 <= ord(char) <= 0x1F1FF:  # regional indicators
            return chr(ord(char) - 0x1F1E6 + ord("a"))
        for first in (0x1F130, 0x1F150, 0x1F170):  # letters in squares and circles, of which NFKD knows not all
            if first <= ord(char) <= first + 25:
                return chr(ord(char) - first + ord("a"))
        plain = (it for it in unicodedata.normalize("NFKD", char) if not unicodedata.combining(it))
        return "".join(self._alike.get(it, it) for it in plain)


@cache
def _read_alike() -> dict[str, str]:
    found = dict(_PICTURES)
    for line in _lines("confusables.txt"):
        plain, _, alike = line.partition(" ")
        found |= dict.fromkeys(alike, plain)
    return found


@cache
def words() -> Words:
    """Return the words by which evasions are undone."""
    groups: dict[str, set[str]] = {"matter": set(), "plain": set(), "real": set()}
    for line in _lines("words.txt"):
        group, _, listed = line.partition(": ")
        groups[group].update(listed.split())
    known = groups["matter"] | groups["plain"]
    typos: dict[str, str] = {}
    for word in sorted(groups["matter"]):
        for typo in _typos(word):
            if typo not in known and typo not in groups["real"]:
                typos.setdefault(typo, word)
    return Words(frozenset(groups["matter"]), frozenset(known), typos)


def _typos(word: str) -> Iterator[str]:
    """Yield a word with two neighbours swapped, with a letter dropped, and without its inner vowels."""
    if len(word) < 4:
        return
    for at in range(len(word) - 1):
        if word[at] != word[at + 1]:
            yield word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    for at in range(1, len(word)):
        dropped = word[:at] + word[at + 1 :]
        # The end of a short word makes another one: "cut" and "cuts", "want" and "wan".
        if len(word) > 5 or (word[at] in "aeiou" and at < len(word) - 1):
            yield dropped
    bare = word[0] + "".join(it for it in word[1:-1] if it not in "aeiou") + word[-1]
    if len(bare) >= 4 or (len(bare) == 3 and len(word) == 4):
        yield bare


def _lines(name: str) -> Iterator[str]:
    text = files(__package__).joinpath("data", name).read_text(encoding="utf-8")
    return (line for line in text.splitlines() if line and not line.startswith("#"))
