"""A model's text as it comes, parted into sentences as soon as each is whole, in the spelling of this story."""

from __future__ import annotations

import re

_END = re.compile(r"[.!?…]+[\"”’')]*(?=\s)")
_WHOLE = re.compile(r"[.!?…][\"”’')]*$")
_PARAGRAPH = re.compile(r"\s*\n\s*\n\s*")
_SHORT = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|vs)\.$")
_SPACES = re.compile(r"\s+")
LONGEST = 700
"""How many characters a sentence has at most; a model that ends none has lost its way."""


class TooLong(Exception):
    """There is no end of a sentence in all that came."""


class Parting:
    """Takes pieces, and returns sentences, each with what stands before it: nothing, a space, or an empty line."""

    def __init__(self) -> None:
        self._rest = ""
        self._before = ""

    def add(self, piece: str) -> list[tuple[str, str]]:
        """Take a piece; return the sentences that are whole now. Raises `TooLong`."""
        self._rest = (self._rest + piece).replace("\r\n", "\n")
        found: list[tuple[str, str]] = []
        while end := self._end():
            found += self._cut(end)
        if len(self._rest) > LONGEST:
            raise TooLong
        return found

    def end(self) -> list[tuple[str, str]]:
        """Return the last sentence, if it is whole; half a one is left out."""
        rest = self._rest.rstrip()
        return self._cut(len(rest)) if _WHOLE.search(rest) and not _is_open(rest) else []

    def _end(self) -> int:
        """Return where the first sentence ends; 0 where that isn't known yet: it shows by what follows."""
        text = self._rest
        begin = len(text) - len(text.lstrip())
        paragraph = _PARAGRAPH.search(text, begin)
        limit = paragraph.start() if paragraph is not None and paragraph.end() < len(text) else 0
        for match in _END.finditer(text, begin):
            if limit and match.end() > limit:
                break
            head, rest = text[begin : match.end()], text[match.end() :].lstrip()
            if rest and not rest[0].islower() and not _SHORT.search(head) and not _is_open(head):
                return match.end()
        return limit

    def _cut(self, end: int) -> list[tuple[str, str]]:
        sentence, self._rest = self._rest[:end], self._rest[end:]
        clean = _curled(_SPACES.sub(" ", sentence).strip())
        before = self._before
        gap = _PARAGRAPH.match(self._rest)
        self._before = "\n\n" if gap is not None else " "
        return [(before, clean)] if clean else []


def _is_open(text: str) -> bool:
    """Say whether a quotation has begun in a text, and not ended."""
    return text.count("“") != text.count("”") or text.count('"') % 2 == 1


def _curled(text: str) -> str:
    """Set “ and ” where a model wrote straight quotation marks."""
    first, *rest = text.split('"')
    return first + "".join(("”" if at % 2 else "“") + part for at, part in enumerate(rest))
