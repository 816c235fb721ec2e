"""The texts in a world, which reach the player without being part of a story: names, and what is to be seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

PART = 4000
"""How many characters of a world are checked at once."""


def texts_in(value: object) -> set[str]:
    """Return each text in a value of builtins, names of fields, too."""
    found: set[str] = set()
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str(text):
                found.add(text)
            case dict() as fields:
                waiting.extend(fields.keys())
                waiting.extend(fields.values())
            case list() | tuple() | set() as items:
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
