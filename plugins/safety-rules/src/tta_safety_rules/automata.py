"""RE2, as the rest of the package uses it: matching in linear time, whatever a pattern says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import re2  # type: ignore[import-untyped]

from .phrases import Needs, PhraseIndex, words_of
from .shipped import NOTHING, Shipped

_MEMORY = 64 << 20
"""Bytes that one automaton may take; beyond, RE2 forgets what it has built, and builds it again."""
_OFTEN = 0.5
"""In which share of texts a pattern may have to be looked for."""
_MOST = 1000
"""How often one pattern is looked for in a piece of text."""


class PatternError(ValueError):
    """RE2 refuses a pattern; the message says why."""


class View(NamedTuple):
    """A text as RE2 reads it: in UTF-8, in which a place is not always what it is in characters."""

    text: str
    raw: bytes
    words: Sequence[bytes]

    def place(self, at: int) -> int:
        """Return the place in characters that one in bytes means."""
        if len(self.text) == len(self.raw):
            return at
        return len(self.raw[:at].decode(errors="ignore"))


def view(text: str) -> View:
    """Return a text as RE2 reads it; half a character, which UTF-8 can't say, becomes a question mark."""
    raw = text.encode(errors="replace")
    return View(text, raw, words_of(raw))


class Gate:
    """Says whether any of a few patterns is in a text."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._set = re2.Set.SearchSet(_options())
        for pattern in patterns:
            self._set.Add(pattern)
        self._set.Compile()

    def opens(self, text: str) -> bool:
        return bool(self._set.Match(text.encode(errors="replace")))


class Patterns:
    """Many patterns at once: a text's phrases say which few it may have, and only these are looked for."""

    def __init__(self, base: Patterns | None = None, known: Patterns | None = None, shipped: Shipped = NOTHING) -> None:
        """Begin with those of ``base``, under the same numbers.

        Take from those that are ``known`` what was made ready before, with the automata that they have built.
        """
        self._base = base
        self._known = known
        self._shipped = shipped
        self._made: list[_Made] = [*base._made] if base else []
        self._numbers: dict[str, int] = {**base._numbers} if base else {}
        self._first = len(self._made)
        self._index = PhraseIndex(())

    def add(self, pattern: str) -> int:
        """Add a pattern and return its number; raise a `PatternError` that says why it can't be used."""
        if pattern in self._numbers:
            return self._numbers[pattern]
        if self._known is not None and pattern in self._known._numbers:
            made = self._known._made[self._known._numbers[pattern]]
        else:
            made = _Made(_compiled(pattern), self._shipped.needs_of(pattern))
        self._numbers[pattern] = len(self._made)
        self._made.append(made)
        return self._numbers[pattern]

    def compile(self) -> None:
        """Make ready to search; nothing can be added then."""
        added = [it.needs for it in self._made[self._first :]]
        self._index = PhraseIndex(added, self._base._index if self._base else None)
        self._base = self._known = None
        self._shipped = NOTHING

    def unfiltered(self) -> Sequence[int]:
        """Return the patterns that were added and ask for no word, or for such as are in most texts."""
        added = enumerate(self._made[self._first :], self._first)
        return [number for number, it in added if not it.needs.ways or it.needs.share > _OFTEN]

    def candidates(self, piece: View) -> Sequence[int]:
        """Return the numbers of the patterns that a text may have: all others it has not."""
        return self._index.candidates(piece.words)

    def spans(self, number: int, piece: View) -> Iterator[tuple[int, int]]:
        """Yield where a pattern is, in characters."""
        for count, match in enumerate(self._made[number].pattern.finditer(piece.raw)):
            if count == _MOST:
                return
            yield piece.place(match.start()), piece.place(match.end())

    def matches(self, number: int, text: str) -> bool:
        """Say whether a text has a pattern."""
        return self._made[number].pattern.search(text.encode(errors="replace")) is not None


class _Made(NamedTuple):
    """A pattern that was made ready."""

    pattern: Any
    needs: Needs


class Single:
    """One pattern by itself."""

    def __init__(self, pattern: str) -> None:
        self._pattern = _compiled(pattern)

    def matches(self, text: str) -> bool:
        """Say whether a text has the pattern."""
        return self._pattern.search(text.encode(errors="replace")) is not None


@lru_cache(maxsize=4096)
def single(pattern: str) -> Single:
    """Return one pattern, made ready once; raise a `PatternError` that says why it can't be used."""
    return Single(pattern)


def _compiled(pattern: str) -> Any:
    try:
        return re2.compile(pattern, _options())
    except re2.error:
        raise PatternError(_reason(pattern)) from None


def _options() -> Any:
    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    options.never_capture = True
    return options


def _reason(pattern: str) -> str:
    """Return what RE2 has against a pattern, without quoting it."""
    try:
        re2.compile(pattern, _options())
    except re2.error as error:
        what = error.args[0] if error.args else ""
        what = what.decode(errors="replace") if isinstance(what, bytes) else str(what)
        return what.partition(": ")[0] or "RE2 refuses it"
    return "RE2 refuses it"
