"""Whether a text is in a language that the rules and heads know: what they can't read they can't call safe."""

from __future__ import annotations

import unicodedata

from .scores import Scores

LANGUAGES = ("en",)
_FEWEST_WORDS = 4
_KNOWN = 0.2
"""Below this share of known words a text of four words and more is in no language that is known."""
_FEWEST_LETTERS = 3
_MOST_LETTERS = 2000
"""How many letters are looked at; they say what the others are."""


def is_known(text: str, scores: Scores | None) -> bool:
    """Say whether a text can be read; one of digits, marks and pictures alone can."""
    if scores is not None and scores.words >= _FEWEST_WORDS and scores.known < _KNOWN:
        return False
    if text.isascii():
        return True
    letters = [it for it in text[: 4 * _MOST_LETTERS] if it.isalpha()][:_MOST_LETTERS]
    foreign = sum(not _latin(it) for it in letters)
    return foreign < _FEWEST_LETTERS or foreign * 2 <= len(letters)


def _latin(letter: str) -> bool:
    if letter.isascii():
        return True
    # "MATHEMATICAL BOLD SMALL A" and "FULLWIDTH LATIN SMALL LETTER A" are Latin, too, once they are decomposed.
    plain = unicodedata.normalize("NFKD", letter)[:1]
    return plain.isascii() or "LATIN" in unicodedata.name(plain, "")
