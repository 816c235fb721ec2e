"""The verbs: what people type in order to do something, and how the rest of it is to be read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from .tables import phrases, verbs


class Verb(NamedTuple):
    """What a phrase asks for. ``shape`` says how to read the words after it."""

    command: str
    shape: str
    manner: str = ""


_IRREGULAR: dict[str, str] = {
    "went": "go", "gone": "go", "goes": "go", "going": "go", "ran": "run", "took": "take",
    "taken": "take", "gave": "give", "given": "give", "got": "get", "gotten": "get",
    "sat": "sit", "sitting": "sit", "stood": "stand", "lay": "lie", "lying": "lie", "said": "say",
    "told": "tell", "spoke": "speak", "saw": "see", "seen": "see", "heard": "hear",
    "felt": "feel", "held": "hold", "kept": "keep", "left": "leave", "lit": "light",
    "made": "make", "met": "meet", "rang": "ring", "sang": "sing", "slept": "sleep",
    "swam": "swim", "swimming": "swim", "threw": "throw", "thrown": "throw", "wrote": "write",
    "written": "write", "wore": "wear", "ate": "eat", "eaten": "eat", "drank": "drink",
    "came": "come", "climbed": "climb", "began": "begin", "brought": "bring", "bought": "buy",
    "thought": "think", "found": "find", "hid": "hide", "flew": "fly", "drew": "draw",
    "dug": "dig", "fed": "feed", "blew": "blow", "chose": "choose", "swept": "sweep",
    "running": "run", "getting": "get", "putting": "put", "picking": "pick", "dropping": "drop",
    "stopping": "stop", "hugging": "hug", "petting": "pet", "digging": "dig", "nodded": "nod",
    "crying": "cry", "cried": "cry", "tried": "try", "trying": "try", "humming": "hum",
    "strode": "stride", "crept": "creep", "chatted": "chat", "chatting": "chat", "letting": "let",
}  # fmt: skip
_NOT_BENT = frozenset({"hi", "hey", "hello", "no", "yes", "i", "in", "up", "the", "inventory"})


@cache
def lexicon() -> dict[tuple[str, ...], tuple[Verb, ...]]:
    """Return every verb phrase, in every form, with what it may mean, likeliest first."""
    found: dict[tuple[str, ...], list[Verb]] = {}
    for line in verbs():
        verb = Verb(line.command, line.shape, line.manner)
        for words in phrases(line.phrases):
            for form in _forms(words[0]):
                known = found.setdefault((form, *words[1:]), [])
                if verb not in known:
                    known.append(verb)
    return {phrase: tuple(verbs) for phrase, verbs in found.items()}


@cache
def longest() -> int:
    """Return how many words the longest phrase has."""
    return max(map(len, lexicon()))


def begins(words: Sequence[str]) -> int:
    """Return how many words at the beginning are a verb phrase; none if 0."""
    for size in range(min(longest(), len(words)), 0, -1):
        if tuple(words[:size]) in lexicon():
            return size
    return 0


@cache
def spellings() -> frozenset[str]:
    """Return the first words of all phrases, long enough to be mistyped and still be known."""
    return frozenset(phrase[0] for phrase in lexicon() if len(phrase[0]) >= 4)


def _forms(word: str) -> list[str]:
    """Return a verb's stem with its -s, -ing and -ed, and the irregular forms."""
    if word in _NOT_BENT or len(word) < 2:
        return [word]
    forms = [word, *(form for form, stem in _IRREGULAR.items() if stem == word)]
    if word.endswith("e"):
        return [*forms, word + "s", word[:-1] + "ing", word + "d"]
    if word.endswith(("s", "sh", "ch", "x", "z", "o")):
        return [*forms, word + "es", word + "ing", word + "ed"]
    if word.endswith("y") and word[-2] not in "aeiou":
        return [*forms, word[:-1] + "ies", word + "ing", word[:-1] + "ied"]
    return [*forms, word + "s", word + "ing", word + "ed"]
