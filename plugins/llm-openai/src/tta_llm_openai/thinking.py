"""What a model writes down for itself before it answers, which is nobody's to read.

Most servers send it in a field of its own; some leave it in the text, between marks, and so does a model that they
don't know.
"""

from __future__ import annotations

import re

_NAMES = ("think", "thinking", "thought", "reasoning")
_OPENINGS = tuple(f"<{name}>" for name in _NAMES)
_CLOSING = re.compile("|".join(f"</{name}>" for name in _NAMES))
_LONGEST = max(map(len, _OPENINGS)) + 1


class Thinking:
    """Leaves it out of a text that comes in pieces; it stands at the very beginning, or there is none."""

    def __init__(self) -> None:
        self._held: str | None = ""
        """What has come so far and can't be told yet; None once all is told."""
        self._thinks = False
        self._thought = False

    def without(self, piece: str) -> str:
        """Return what of a piece, and of those before, is for others."""
        if self._held is None:
            return piece
        self._held += piece
        if not self._thinks:
            begun = self._held.lstrip()
            if not self._thought and any(opening.startswith(begun) for opening in _OPENINGS):
                return ""
            self._thinks = not self._thought and begun.startswith(_OPENINGS)
        if self._thinks:
            end = _CLOSING.search(self._held)
            if end is None:
                # Only as much of it is kept as the mark that ends it may have begun with.
                self._held = self._held[-_LONGEST:]
                return ""
            self._held, self._thinks, self._thought = self._held[end.end() :], False, True
        if self._thought:
            self._held = self._held.lstrip()
        told, self._held = self._held, None if self._held else ""
        return told

    def rest(self) -> str:
        """Return what was held at the end of all, and is no thought."""
        return "" if self._thinks else self._held or ""
