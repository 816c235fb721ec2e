"""How rare phrases are, roughly: the rarer what is looked for, the fewer texts are looked at twice."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from math import fsum, prod

BREAK = " "
"""In an outline: where a word of ASCII begins or ends, and whatever is between two words."""
ANY = "\0"
"""In an outline: whatever, which may be nothing."""
_COMMON = (
    "the i a my and s to it in m on you for of that with me t at is he do what can ve how about we was like she so "
    "one up this her got out are be his from who d don him they says there not all but your no or been an re if "
    "want now by when have down had then two just good back get has tell feel off since go again say going our "
    "years time ll help people someone know as first today last them talk day told over said here after because new "
    "did before mum old more story left right where never door night think myself let see only could call something "
    "too dog does three ask school need would die kill take man way put still friend dad work four keep until won "
    "should made without please make name hit year than goes every sorry nobody dead its sister come life suicide "
    "tonight everyone days doctor long us well stop"
)
"""The most frequent words of messages, the most frequent one first."""
_RANKS = {word: rank for rank, word in enumerate(_COMMON.split(), 1)}
_RARE = 0.005
_SHARE_OF_LETTER = 0.4
_RUNS = re.compile(r"[^\x00-\x7f]+")

Phrases = tuple[str, ...]
"""Each a part of a text's words with one space between them: " to die " are two words, "die " ends one."""


def phrases_of(outline: str) -> Phrases:
    """Return the phrases of an outline in their order; where it isn't ASCII, the longest run that isn't, alone."""
    if not outline.isascii():
        return (max(_RUNS.findall(outline), key=len),)
    return tuple(it for it in outline.split(ANY) if it.strip())


def rarest(phrases: Phrases) -> str:
    """Return the phrase that is in the fewest texts."""
    return min(phrases, key=lambda it: (share(it), it))


def rarest_word(phrases: Iterable[str]) -> str:
    """Return the whole word of some phrases that is in the fewest texts; "" where they have but parts of words."""
    words = [
        word
        for phrase in phrases
        for word in phrase.split()[not phrase.startswith(BREAK) : None if phrase.endswith(BREAK) else -1]
    ]
    return min(words, key=lambda it: (_share_of_word(it), it), default="")


def weight(outlines: Iterable[str]) -> float:
    """Return roughly in which share of texts the phrases of any of these are."""
    # Rounded once: the same whatever the order, which in a set isn't the same in two processes.
    return fsum(prod(map(share, phrases_of(it))) for it in outlines)


@lru_cache(maxsize=100_000)
def share(phrase: str) -> float:
    """Return roughly in which share of texts a phrase is."""
    words = phrase.split()
    found = 1.0
    for place, word in enumerate(words):
        begins = place > 0 or phrase.startswith(BREAK)
        ends = place < len(words) - 1 or phrase.endswith(BREAK)
        found *= _share_of_word(word) if begins and ends else max(_RARE, _SHARE_OF_LETTER ** len(word))
    return found


def _share_of_word(word: str) -> float:
    # Zipf's law, fitted to messages: the most frequent word is in four of ten.
    return 1.5 / (_RANKS[word] + 3) if word in _RANKS else _RARE
