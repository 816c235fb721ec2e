"""A text as it was meant: look-alikes, hidden marks, digits for letters, spaced and stretched words undone.

The original stays beside it. Each step is a list of edits, so that a place in the folded text is found in the original.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from string import ascii_lowercase

from .automata import Gate
from .glyphs import Glyphs, words

Edit = tuple[int, int, str]
"""From where to where something is replaced, and by what."""

_GLYPHS = Glyphs()
_BEYOND = re.compile(r"[^\x00-\x7f]+")
_ODD = (
    r"[a-z][0-9@$!|*#_.\-+]+[a-z]|[0-9@$!|*][a-z]|[a-z][0-9@$*](?:[^0-9]|$)|[a-z]{3}\*"
    r"|(?:^|[^a-z0-9])[a-z][\s.\-_/*,]{1,3}[a-z][\s.\-_/*,]{1,3}[a-z](?:[^a-z0-9]|$)|"
    + "|".join(it * 3 for it in ascii_lowercase)
)
"""What any of the steps below may be about; plain text has none of it."""
_DIGITS = str.maketrans("013457@$!|+", "oieastasilt")
_OTHER_DIGITS = str.maketrans("013457@$!|+", "oleastasllt")
_MIXED = re.compile(r"[a-z0-9@$!|+]+")
_HAS_MARK = re.compile(r"[a-z][*#@_$%.\-]{1,8}[a-z]|[a-z]{3}\*")
_HAS_DIGIT = re.compile(r"[a-z][0-9@$!|+]|[0-9@$!|+][a-z]")
_SPACED = re.compile(r"(?<![a-z0-9'])(?:[a-z][\s.\-_/*,]{1,3}){2,199}[a-z](?![a-z0-9])")
_LETTERS = re.compile(r"[a-z]+")
_MARKS = re.compile(r"[.\-_/*,]")
_SPACE = re.compile(r"\s+")
_LONE_ONE = re.compile(r"(?<![a-z0-9.,:$])1(?=(?:'[a-z]{1,2})?[ ,])(?! ?[0-9])")
_STARRED = re.compile(r"[a-z*#@_$%.\-]+")
_CENSORED = re.compile(r"[a-z]+[*#@_$%.\-]{1,8}[a-z]+|[a-z]{3,}\*{1,4}")
_RUN = re.compile(r"([a-z])\1{2,}")
_LONGEST_WORD = 40
_LONGEST_KNOWN = 12
_LONGEST_RUN = 200
_WORD = re.compile(r"[a-z]{3,20}")


@cache
def _gate() -> Gate:
    """Return what finds out in two microseconds whether a text has anything that a step may undo."""
    return Gate([_ODD, rf"\b(?:{'|'.join(words().typos)})\b"])


class Folded:
    """A text as it was meant; ``text`` is in lower case, and equals the original's where nothing was undone."""

    __slots__ = ("__dict__", "original", "plain", "steps", "text")

    def __init__(self, original: str, plain: str, text: str, steps: Sequence[Sequence[Edit]]) -> None:
        self.original = original
        self.plain = plain
        """The original in lower case, character by character."""
        self.text = text
        self.steps = steps

    @property
    def changed(self) -> bool:
        """Whether anything was undone."""
        return bool(self.steps)

    @cached_property
    def _maps(self) -> list[tuple[list[int], list[tuple[int, int, int, int]]]]:
        """For each step, from last to first: where its edits stand in what it made, and where in what it was given."""
        found = []
        for edits in reversed(self.steps):
            shift = 0
            spans = []
            for start, end, new in edits:
                spans.append((start + shift, start + shift + len(new), start, end))
                shift += len(new) - (end - start)
            found.append(([it[0] for it in spans], spans))
        return found

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Return where in the original a span of the folded text stands; what was replaced counts whole."""
        for starts, spans in self._maps:
            start = _back(start, starts, spans, first=True)
            end = max(start, _back(end, starts, spans, first=False))
        return start, min(end, len(self.original))


def _back(place: int, starts: list[int], spans: list[tuple[int, int, int, int]], *, first: bool) -> int:
    at = bisect_right(starts, place if first else max(place - 1, 0)) - 1
    if at < 0:
        return place
    new_start, new_end, old_start, old_end = spans[at]
    if new_start <= place < new_end or (not first and new_start < place <= new_end):
        return old_start if first else old_end
    return place - new_end + old_end


def fold(text: str) -> Folded:
    """Return a text as it was meant."""
    plain = text.lower()
    if len(plain) != len(text):  # One letter of Turkish becomes two.
        plain = "".join(it if len(it) == 1 else it[0] for it in map(str.lower, text))
    steps: list[Sequence[Edit]] = []
    folded = plain
    if not text.isascii():
        folded = _apply(_glyphs, text, steps).lower()
    for _ in range(2):  # What one step has undone may show what another one is about.
        if not _gate().opens(folded):
            break
        done = len(steps)
        for step in (_spaced, _censored, _digits, _stretched, _mended):
            folded = _apply(step, folded, steps)
        if len(steps) == done:
            break
    return Folded(text, plain, folded, steps)


def _apply(step: Callable[[str], Iterator[Edit]], text: str, steps: list[Sequence[Edit]]) -> str:
    edits = [*step(text)]
    if not edits:
        return text
    pieces: list[str] = []
    done = 0
    for start, end, new in edits:
        pieces += (text[done:start], new)
        done = end
    pieces.append(text[done:])
    steps.append(edits)
    return "".join(pieces)


def _glyphs(text: str) -> Iterator[Edit]:
    for found in _BEYOND.finditer(text):
        # Lower-cased here, so that what follows can lower the rest without moving anything.
        yield found.start(), found.end(), found[0].translate(_GLYPHS).lower()


def _spaced(text: str) -> Iterator[Edit]:
    """Join single letters, and cut them into words: ``k i l l m y s e l f``."""
    for found in _SPACED.finditer(text):
        run = found[0]
        marked = _MARKS.search(run) is not None and _SPACE.search(run) is not None
        # Where letters are joined by marks, or by one space, what is wider says where a word ends.
        parts = _SPACE.split(run) if marked else re.split(r"\s{2,}", _MARKS.sub(" ", run))
        joined = ["".join(_LETTERS.findall(part)) for part in parts]
        if len("".join(joined)) == 3 and "".join(joined) not in words().matter:
            continue  # Initials, most likely.
        cut = [" ".join(_cut(part) or [part]) for part in joined]
        yield found.start(), found.end(), " ".join(cut)


def _cut(letters: str) -> list[str] | None:
    """Cut letters into known words, as few as possible; None where that can't be done."""
    known = words().known
    letters = letters[:_LONGEST_RUN]
    # For each place the fewest words that end there, and where the last of them begins.
    fewest: list[tuple[int, int]] = [(0, 0), *([(_LONGEST_RUN, -1)] * len(letters))]
    for end in range(1, len(letters) + 1):
        for start in range(max(0, end - _LONGEST_KNOWN), end):
            count = fewest[start][0] + 1
            if count < fewest[end][0] and letters[start:end] in known:
                fewest[end] = (count, start)
    end = len(letters)
    if fewest[end][1] < 0:
        return None
    found = []
    while end:
        start = fewest[end][1]
        found.append(letters[start:end])
        end = start
    return found[::-1]


def _digits(text: str) -> Iterator[Edit]:
    """Read digits and signs as the letters that they look like, where that makes a known word."""
    if not _HAS_DIGIT.search(text):
        return
    found = [edit for it in _MIXED.finditer(text) if (edit := _read_digits(it))]
    if found:
        # Who writes so writes "1" for "I", which alone would be a number.
        found += ((it.start(), it.end(), "i") for it in _LONE_ONE.finditer(text))
    yield from sorted(found)


def _read_digits(found: re.Match[str]) -> Edit | None:
    word = found[0]
    if len(word) > _LONGEST_WORD or not _HAS_DIGIT.search(word):
        return None
    for table in (_DIGITS, _OTHER_DIGITS):
        for candidate in (word, word.rstrip("!|")):
            letters = candidate.translate(table)
            meant = _known(letters) if letters != candidate else ""
            if meant:
                return found.start(), found.start() + len(candidate), meant
    return None


def _known(word: str) -> str:
    found = words()
    if word in found.known:
        return word
    if word in found.typos:
        return found.typos[word]
    for squeezed in _squeezed(word):
        if squeezed in found.known:
            return squeezed
    return ""


def _squeezed(word: str) -> tuple[str, str]:
    return _RUN.sub(r"\1\1", word), _RUN.sub(r"\1", word)


def _stretched(text: str) -> Iterator[Edit]:
    """Squeeze letters that are there three times and more: to two, or to one where that makes a known word."""
    if not _RUN.search(text):
        return
    known = words().known
    for found in _LETTERS.finditer(text):
        if not _RUN.search(found[0]):
            continue
        twice, once = _squeezed(found[0])
        yield found.start(), found.end(), twice if twice in known else once


def _censored(text: str) -> Iterator[Edit]:
    """Fill the stars of a word that matters: ``k*ll``, ``su*c*de``, ``d-i-e``."""
    if not _HAS_MARK.search(text):
        return
    for token in _STARRED.finditer(text):
        # A longer one is no word, and would take its length squared.
        for found in _CENSORED.finditer(token[0]) if len(token[0]) <= 2 * _LONGEST_WORD else ():
            meant = _uncensored(found[0])
            if meant:
                yield token.start() + found.start(), token.start() + found.end(), meant


def _uncensored(word: str) -> str:
    bare = re.sub(r"[^a-z]", "", word)
    if bare in words().matter and len(bare) >= 4 and "." not in word:
        return bare  # Nothing is missing, something is in between.
    if "*" not in word and "#" not in word and "_" not in word:
        return ""
    exact = re.compile(re.sub(r"[^a-z]", "[a-z]", word) + r"\Z")
    loose = re.compile(re.sub(r"[^a-z]+", "[a-z]{1,5}", word) + r"\Z")
    for pattern in (exact, loose):
        fitting = [it for it in words().matter if pattern.match(it)]
        if fitting:
            return min(fitting)
    return ""


def _mended(text: str) -> Iterator[Edit]:
    typos = words().typos
    if typos.keys().isdisjoint(_WORD.findall(text)):
        return
    for found in _WORD.finditer(text):
        if found[0] in typos:
            yield found.start(), found.end(), typos[found[0]]
