"""The texts in a world, which reach the player without being part of a story: names, and what is to be seen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

PART = 4000
"""How many characters of a world are checked at once."""
# A check for languages takes digests for words that it doesn't know, and a world with some of them for a foreign text.
_DIGEST = re.compile(r"[0-9a-f]{8,64}")


class NoWorld(Exception):
    """A value holds what no store keeps, or itself, so that nobody can say which texts are in it."""


def texts_in(value: object) -> set[str]:
    """Return each text in a value, names of fields, too, and bytes as the text that they may be; but no digests."""
    try:
        plain = msgspec.to_builtins(value, builtin_types=(bytes, bytearray))
    except (TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise NoWorld(f"it can't be read: {type(exc).__name__}") from None
    found: set[str] = set()
    waiting = [plain]
    while waiting:
        match waiting.pop():
            case str(text):
                if not _DIGEST.fullmatch(text):
                    found.add(text)
            case bytes() | bytearray() as raw:
                found.add(raw.decode(errors="replace"))
            case dict() as fields:
                waiting.extend(fields.keys())
                waiting.extend(fields.values())
            case list() | tuple() | set() | frozenset() as items:
                waiting.extend(items)
    return found


def parts(texts: Iterable[str]) -> Iterator[str]:
    """Join texts, a line each, to parts of about `PART` characters; a longer text is a part of its own."""
    lines: list[str] = []
    length = 0
    for text in texts:
        if lines and length + len(text) > PART:
            yield "\n".join(lines)
            lines, length = [], 0
        lines.append(text)
        length += len(text) + 1
    if lines:
        yield "\n".join(lines)
