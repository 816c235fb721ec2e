"""Text without what steers a terminal, hides or turns what is read, or can't be stored."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    """Return a text without control characters, marks of direction, and halves of characters."""
    return _CONTROL.sub("", text)
