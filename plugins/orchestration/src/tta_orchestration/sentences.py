"""Parting text that comes in pieces into sentences."""

from __future__ import annotations

import re

_WIDE = "。！？｡"
"""Full stops of scripts that put no space after them."""
_STOPS = ".!?…．؟۔।॥" + _WIDE
_WIDE_CLOSING = "”’)」』）》】〉"
_CLOSING = "\"'" + _WIDE_CLOSING
_BREAK = re.compile(rf"\s+|[{_WIDE}][{_WIDE}{_WIDE_CLOSING}]*")
"""Where a sentence may end: at a space, or right after a full stop that needs none."""
_ENDS = "\n" + _WIDE + _WIDE_CLOSING
LONGEST = 2000
"""How many characters wait for the end of a sentence at most."""


class Sentences:
    """Gives each sentence, with the space after it, as soon as the next one has begun.

    One that is longer than `LONGEST` is parted between two words: an agent that never ends a sentence
    neither holds up its reader nor makes each further piece dearer. ``pending`` has not ended yet.
    """

    def __init__(self) -> None:
        self.pending = ""
        self._from = 0

    def add(self, piece: str) -> list[str]:
        """Take a piece; return the sentences that are whole now."""
        text = self.pending + piece
        found, start = [], 0
        while end := self._end(text, start):
            found.append(text[start:end])
            start = end
            self._from = 0
        self.pending = text[start:]
        # Only the space at the end is undecided, and stops before it: whether a sentence ends shows by what follows.
        self._from = len(self.pending.rstrip().rstrip(_WIDE + _WIDE_CLOSING))
        return found

    def end(self) -> str:
        """Return what is left, which nothing will end any more."""
        rest, self.pending = self.pending, ""
        return rest

    def _end(self, text: str, start: int) -> int:
        """Return where the sentence that begins at ``start`` ends; 0 where that isn't known yet."""
        longest = start + LONGEST
        for found in _BREAK.finditer(text, start + self._from, longest):
            end = found.end()
            followed = end < len(text) and not text[end].isspace()
            if followed and (text[end - 1] in _ENDS or _stops(text, start, found.start())):
                return end
        if len(text) <= longest:
            return 0
        return text.rfind(" ", start, longest) + 1 or longest


def _stops(text: str, start: int, end: int) -> bool:
    """Whether ``text[start:end]`` ends with a full stop or the like, and perhaps quotes after it."""
    while end > start and text[end - 1] in _CLOSING:
        end -= 1
    return end > start and text[end - 1] in _STOPS
