"""Text as sentences: cutting it without breaking a quotation, and putting it together again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_END = re.compile(r"[.!?…][”’)]*(?=\s)|:(?=\s+[“])")
_SPACES = re.compile(r"[ \t\n]+")


def sentences(text: str) -> list[str]:
    """Cut a paragraph into sentences. What stands between “ and ” isn't cut."""
    text = _SPACES.sub(" ", text).strip()
    found: list[str] = []
    start = 0
    for match in _END.finditer(text):
        head = text[start : match.end()]
        if head.count("“") != head.count("”") or text[match.start()] == ":":
            continue
        rest = text[match.end() :].lstrip()
        if match[0].endswith("”") and rest[:1].islower():
            # “Is it?” says Ines.
            continue
        if match[0].endswith("”") and _spoken_by(rest):
            continue
        found.append(head.strip())
        start = match.end()
    if text[start:].strip():
        found.append(text[start:].strip())
    return found


def _spoken_by(rest: str) -> bool:
    """Tell whether what follows a quotation is who said it: `Ines says`, `says Ines`."""
    return bool(re.match(r"(?:[A-Z]\w+ )?(?:says|said|asks)\b", rest))


def tidy(text: str) -> str:
    """Set one space between words, none before a full stop, and a capital at the beginning."""
    text = _SPACES.sub(" ", text).strip()
    text = re.sub(r" +([.,;!?])", r"\1", text)
    if not text:
        return ""
    first = next((at for at, char in enumerate(text) if char.isalpha()), 0)
    if text[first - 1 : first] in ("", "“", "‘", "("):
        text = text[:first] + text[first].upper() + text[first + 1 :]
    return text


def join_paragraphs(paragraphs: Iterable[Sequence[str]]) -> str:
    """Put sentences into paragraphs, and these, with a line between, into a text."""
    return "\n\n".join(" ".join(paragraph) for paragraph in paragraphs if paragraph)


def pieces(text: str) -> list[str]:
    """Cut a finished text into sentences that, joined, are exactly the text again."""
    found: list[str] = []
    paragraphs = text.split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        parts = sentences(paragraph)
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            tail = "" if last and number == len(paragraphs) - 1 else "\n\n" if last else " "
            found.append(part + tail)
    return found
