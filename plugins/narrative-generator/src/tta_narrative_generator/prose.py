"""What a sentence of this story looks like, whatever it tells: all else is no prose, and no model may say it.

What is allowed is written down, not what is forbidden: there is no end of marks, scripts and invisible characters.
"""

from __future__ import annotations

import re

_MARKS = frozenset(" .,;:!?…'’‘“”\"()–—-")
_LAST_LATIN = "\u024f"
_HEAD = re.compile(
    r"\W*(?:(?:\d+|[a-z])[.)](?:\s|$)|(?:system|assistant|user|human|ai|player|narrator|model|story|page|response|"
    r"output|instructions?|note|answer)\b(?: \w+){0,2} ?[:–—])|[-–—]\s|(?:sure|certainly|okay|absolutely)[!.,:]|"
    r"here(?:[’']s| is) (?:the|your|a)(?: \w+)? (?:page|story|scene|text|continuation)\b",
    re.IGNORECASE,
)
"""How an item of a list begins, a turn of a chat, and an answer that speaks of itself."""
_ADDRESS = re.compile(r"\w\.(?:[a-z]{2,}|[A-Z]{2,})\b|\d(?:[ ().–-]{0,2}\d){4}")
"""A host, or a number to call: nobody knows whose, and the lines that there are stand in the safety plugin's file."""
_LONGEST_WORD = 40
_OUT_OF_VOICE = re.compile(
    r"\b(?:as an ai|language model|chat ?bot|system prompt|my (?:instructions|guidelines|programming)|"
    r"i (?:cannot|can[’']t|am unable to|[’']?m unable to) (?:assist|help with|comply|continue)|"
    r"passwords?|passcodes?|web ?sites?|web ?pages?|browser|download|e-?mails?|click (?:on|here)|log (?:in|into)|"
    r"sign up|credit cards?|bank accounts?|hotlines?|helplines?|(?:tele)?phone numbers?|"
    r"this (?:game|app)|your (?:screen|computer|terminal|keyboard|device))\b",
    re.IGNORECASE,
)
"""What no story of this kind says: a model that has left it does, and one that wants something of who is reading."""

_WORDS = """
the you your yours and of is it its to with for there that this from at by as he she they her his their are have has not
nothing up down out where while then than but one if been be do does what when who how all into over some here something
somewhere somebody someone we us my or like about between through without before after again away back just only very
more less things round
"""
"""Words without which hardly a sentence of some length is English; none of them is a common one of a neighbour's."""
_ENGLISH = frozenset(_WORDS.split())
_TELLING = 6
"""So many words are enough to tell."""
_WORD = re.compile(r"[^\W\d_]+")


def is_foreign(sentence: str) -> bool:
    """Say whether it is in another language than the story's, which is English, and so than its checks are made for."""
    words = _WORD.findall(sentence.casefold())
    return len(words) >= _TELLING and _ENGLISH.isdisjoint(words)


def is_markup(sentence: str, name: str = "") -> bool:
    """Say whether it holds what isn't prose in the Latin alphabet; ``name`` is the player's, in whichever it is."""
    if _HEAD.match(sentence) or _ADDRESS.search(sentence):
        return True
    if any(len(word) > _LONGEST_WORD for word in sentence.split()):
        return True
    return not all(_is_prose(char) or char in name for char in sentence)


def is_out_of_voice(sentence: str) -> bool:
    """Say whether it speaks of what isn't in the story."""
    return _OUT_OF_VOICE.search(sentence) is not None


def _is_prose(char: str) -> bool:
    return char in _MARKS or (char.isalnum() and char <= _LAST_LATIN)
