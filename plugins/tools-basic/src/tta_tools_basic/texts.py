"""Figures of a text: how long it is, and how it reads."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta, Struct

from tta_tools import tool

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
# Only from the first of many signs on: else a long row of them would be read from each.
_END = re.compile(r"(?<![.!?…])[.!?…]++(?=[\s\"'»”’)]|$)")
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n")
_WORDS_PER_MINUTE = 230
"""Of silent reading, by Brysbaert (2019), rounded down."""


class TextStatistics(Struct, frozen=True):
    """Counts of a text; ``reading_seconds`` is how long somebody reads it in silence."""

    characters: int
    words: int
    different_words: int
    sentences: int
    paragraphs: int
    words_per_sentence: float
    characters_per_word: float
    reading_seconds: float


@tool(name="text.statistics", version="1.0.0", capabilities=("text",), idempotent=True, shared=True)
def statistics(text: Annotated[str, Meta(max_length=50_000)]) -> TextStatistics:
    """Count characters, words, sentences and paragraphs of a text, and say how long it takes to read."""
    words = _WORD.findall(text)
    # What ends without a sign is a sentence, too.
    pieces = [piece for piece in _END.split(text) if _WORD.search(piece)]
    sentences = len(pieces)
    return TextStatistics(
        characters=len(text),
        words=len(words),
        different_words=len({word.casefold() for word in words}),
        sentences=sentences,
        paragraphs=sum(1 for piece in _PARAGRAPH.split(text) if piece.strip()),
        words_per_sentence=round(len(words) / sentences, 2) if sentences else 0.0,
        characters_per_word=round(sum(map(len, words)) / len(words), 2) if words else 0.0,
        reading_seconds=round(len(words) * 60 / _WORDS_PER_MINUTE, 1),
    )
