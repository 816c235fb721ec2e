"""What a command tells a person: a table, or why it failed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from json import dumps
from typing import Any

import msgspec

from tta_kernel import Escaped, raised_at

from .exits import WANTING

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal would obey, or what no file can hold; but for the ends of lines, and tabs."""


def table(rows: Iterable[Sequence[str]]) -> None:
    """Print rows of cells in aligned columns; what can't be printed is shown as a question mark."""
    for line in aligned(rows):
        print(line)


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of `table`."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = []
    for row in shown:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
    return lines


def fail(command: str, why: str) -> int:
    """Say on standard error why ``tta COMMAND`` failed, and return the exit code for that."""
    print(printable_lines(f"tta {command}: {why}"), file=sys.stderr)
    return WANTING


def printable(text: str) -> str:
    """Return a text that a terminal can show: what it can't is a question mark."""
    # An escape sequence in a foreign value would be the terminal's to obey.
    return "".join(char if char.isprintable() else "?" for char in text)


def moment(at: float) -> str:
    """Return a time, in seconds since the epoch, as people read it; ``?`` where a foreign one is none."""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return "?"


def unquoted(failure: Exception) -> str:
    """Say what a stranger's code did, as a hook answers it, without what it says itself: it may be a person's text."""
    if isinstance(failure, Escaped):
        return str(failure)
    return f"raised {type(failure).__name__} at {raised_at(failure)}"


def prose(text: str) -> str:
    """Return a text for people to read without what a terminal would obey; all else stays, in every script."""
    return CONTROL.sub("", text)


def printable_lines(text: str) -> str:
    """Return a text of several lines, each as `printable` makes it."""
    return "\n".join(map(printable, text.split("\n")))


def print_json(value: Any) -> None:
    """Print builtins and Structs as JSON, on lines for people."""
    print(as_json(value))


def as_json(value: Any, *, indent: int = 2) -> str:
    """Return builtins and Structs as JSON that a terminal can show; ``indent`` 0 makes one line of it."""
    builtins = msgspec.to_builtins(value, str_keys=True, enc_hook=repr)
    encoded = msgspec.json.encode(encodable(builtins))
    text = msgspec.json.format(encoded, indent=indent or -1).decode()
    # What a terminal would obey, or hide, stands in strings alone, where JSON knows an escape for it.
    return re.sub(r"[^\n -~]", lambda found: found[0] if found[0].isprintable() else dumps(found[0])[1:-1], text)


def encodable(value: Any) -> Any:
    """Return builtins that JSON can hold: half a character, as of a name that isn't UTF-8, is escaped."""
    if isinstance(value, Mapping):
        return {encodable(key): encodable(it) for key, it in value.items()}
    if isinstance(value, list | tuple):
        return [encodable(it) for it in value]
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    return value
