"""What the statistical head reads in a text: words, and pairs and triples of their stems."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

WINDOW = 24
STEP = 12
"""A long text is read through a window of so many words, which moves on by so many: one sentence may decide."""
_SLACK = 8
_PART = 4
_PARTS = 12
_OF_PARTS = zlib.crc32(b"part ")
"""With what the numbers of parts begin, so that none is a word's."""
_WORD = re.compile(r"[^\W_]+|[\U0001f300-\U0001faff]")
_PLAIN = bytes(ord(char.lower()) if (char := chr(code)).isalnum() and code < 128 else 32 for code in range(256))
"""For ASCII: lower case, and spaces for what is of no word; a third of the time that the expression takes."""
_ENDINGS = ("ings", "ing", "edly", "ed", "es", "s", "ly")
TRIPLE = 0x2F0B4F47
"""What tells a triple from a pair."""


def words_of(text: str) -> list[str]:
    """Return a text's words in lower case: "don't" and "dont" are one, an emoji is a word."""
    if text.isascii():
        return text.encode().translate(_PLAIN, b"'").decode().split()
    return _WORD.findall(text.lower().replace("'", "").replace("\u2019", ""))


def stem(word: str) -> str:
    """Return what the forms of an English word have in common, roughly: good enough to make pairs of."""
    if len(word) < 4:
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not (ending == "s" and word.endswith("ss")):
            word = word[: -len(ending)]
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lse":
        word = word[:-1]
    if len(word) > 3 and word[-1] == "e":
        word = word[:-1]
    return word


def number(word: str) -> int:
    """Return 32 bits for a word, the same in every process; pairs and triples are made of stems' numbers."""
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))


def pair(first: int, second: int) -> int:
    """Return the number of a pair of stems; 0 stands for the beginning of the text.

    Stems' numbers are as good as random, so that little mixing is enough; what matters is that order counts.
    """
    return (first * 3) ^ second


def triple(first: int, second: int, third: int) -> int:
    """Return the number of a triple of stems."""
    return (first * 5 + TRIPLE) ^ pair(second, third)


def parts(word: str) -> list[int]:
    """Return the numbers of a word's parts, by which a misspelt or unheard-of word still says something."""
    framed = f"<{word}>"
    count = min(len(framed) - _PART + 1, _PARTS)
    return [zlib.crc32(framed[at : at + _PART].encode("utf-8", "surrogatepass"), _OF_PARTS) for at in range(count)]


def windows(count: int) -> Iterator[tuple[int, int]]:
    """Return from where to where a text of so many words is read; a short one is read at once."""
    if count <= WINDOW + _SLACK:
        yield 0, count
        return
    for start in range(0, count - STEP, STEP):
        yield start, min(start + WINDOW, count)
