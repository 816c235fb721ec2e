"""Raw text made plain: bounded, normalised, cut into words, with smileys and speech taken out."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

MAX_CHARS = 2000
"""How much of a player's text is read; what follows is left unread, and the intent says so."""
MAX_WORDS = 240

# Curly and foreign quotation marks, primes and dashes, by code point.
_QUOTES: dict[int, str] = {
    **dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b\u2032`\u00b4\u02bc\u2039\u203a"), "'"),
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033"), '"'),
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212"), "-"),
    **dict.fromkeys(map(ord, "\u2014\u2015"), ", "),
    ord("\u2026"): "...",
    ord("§"): " ",
}
_SMILEYS: dict[str, str] = {
    "😢": "sadness", "😭": "sadness", "😞": "sadness", "😔": "sadness", "☹": "sadness",
    "🙁": "sadness", "😿": "sadness", "💔": "sadness", "🥺": "sadness",
    "😨": "fear", "😱": "fear", "😰": "worry", "😟": "worry", "😧": "fear", "😬": "worry",
    "😠": "anger", "😡": "anger", "🤬": "anger", "😤": "anger",
    "😴": "tiredness", "🥱": "tiredness", "😪": "tiredness", "😩": "overwhelm", "😫": "overwhelm",
    "🤯": "overwhelm", "😵": "overwhelm", "😳": "shame", "😕": "confusion", "🤔": "curiosity",
    "😐": "numbness", "😶": "numbness", "😀": "joy", "😃": "joy", "😄": "joy", "😁": "joy",
    "😊": "joy", "🙂": "calm", "😌": "calm", "🥰": "love", "😍": "love", "🤗": "love",
    "❤": "love", "💕": "love", "🎉": "joy", "😂": "joy", "🤣": "joy", "🙏": "gratitude",
    "🥳": "joy", "😎": "pride", "😅": "relief", "🧘": "calm", "🥹": "gratitude",
}  # fmt: skip
# The same, typed; longest first, so that `:'(` is not a colon and half a bracket.
_EMOTICONS: tuple[tuple[str, str], ...] = (
    (":'-(", "sadness"), (":'(", "sadness"), (":-(", "sadness"), (":-)", "joy"), (":-D", "joy"),
    (":(", "sadness"), (":)", "joy"), (":D", "joy"), (":/", "confusion"), ("<3", "love"),
    (";)", "joy"), ("xD", "joy"), ("T_T", "sadness"), ("^^", "joy"), ("D:", "fear"),
)  # fmt: skip
_SPACE = re.compile(r"\s+")
_SPEECH = re.compile(r'"([^"]{1,600})(?:"|$)')
_SINGLE = re.compile(r"(?<![\w'])'([^']{2,300})'(?![\w'])")
_TOKEN = re.compile(r"§\d+|[^\W_]+(?:'[^\W_]+)*|[.,;:!?]")


class NormalizedText(NamedTuple):
    """A player's text, made plain."""

    text: str
    """Normalised, in its own case, with quotes and smileys still in it."""
    words: tuple[str, ...]
    """Lower-case words without accents, and punctuation; ``§0`` is the first speech."""
    cased: tuple[str, ...]
    """The same in the case in which they were typed."""
    speech: tuple[str, ...]
    smileys: tuple[str, ...]
    """Names of feelings, one for each smiley."""
    truncated: bool


def normalize(raw: str, max_chars: int = MAX_CHARS) -> NormalizedText:
    """Make a text plain, in time that doesn't grow with its length beyond a bound."""
    head = raw[: max_chars * 2]
    text = unicodedata.normalize("NFKC", head)[: max_chars * 2].translate(_QUOTES)
    text = "".join(map(_visible, text))
    text = _SPACE.sub(" ", text).strip()
    truncated = len(raw) > len(head) or len(text) > max_chars
    text = text[:max_chars].rstrip()
    rest, smileys = _take_smileys(text)
    speech: list[str] = []

    def keep(match: re.Match[str]) -> str:
        speech.append(match[1].strip())
        return f" §{len(speech) - 1} " if len(speech) <= 9 else " "

    rest = _SPEECH.sub(keep, rest)
    rest = _SINGLE.sub(keep, rest)
    cased = _TOKEN.findall(fold(rest))[:MAX_WORDS]
    return NormalizedText(
        text=text,
        words=tuple(word.lower() for word in cased),
        cased=tuple(cased),
        speech=tuple(speech[:9]),
        smileys=tuple(smileys[:4]),
        truncated=truncated,
    )


def fold(text: str) -> str:
    """Take the accents off, so that `café` finds `cafe`."""
    if text.isascii():
        return text
    parts = unicodedata.normalize("NFKD", text)
    return "".join(c for c in parts if not unicodedata.combining(c))


def _visible(char: str) -> str:
    category = unicodedata.category(char)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    # Joiners, marks of direction, surrogates and private characters say nothing to a reader.
    return "" if category in ("Cf", "Cs", "Co", "Cn") or char in "\ufe0f\ufe0e" else char


def _take_smileys(text: str) -> tuple[str, list[str]]:
    found = []
    for emoticon, feeling in _EMOTICONS:
        if emoticon in text:
            found.append(feeling)
            text = text.replace(emoticon, " ")
    kept = []
    for char in text:
        if feeling := _SMILEYS.get(char, ""):
            found.append(feeling)
            kept.append(" ")
        else:
            kept.append(char)
    return "".join(kept), list(dict.fromkeys(found))
