"""What a command tells a person: a table, or why it failed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from .exits import WANTING


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


def print_json(data: Any) -> None:
    """Print Structs and builtins as JSON, for whoever reads it."""
    encoded = msgspec.json.encode(encodable(msgspec.to_builtins(data)))
    print(msgspec.json.format(encoded, indent=2).decode())


def fail(command: str, why: str) -> int:
    """Say on standard error why ``tta COMMAND`` failed, and return the exit code for that."""
    print(printable_lines(f"tta {command}: {why}"), file=sys.stderr)
    return WANTING


def printable(text: str) -> str:
    """Return a text that a terminal can show: what it can't is a question mark."""
    # An escape sequence in a foreign value would be the terminal's to obey.
    return "".join(char if char.isprintable() else "?" for char in text)


def printable_lines(text: str) -> str:
    """Return a text of several lines, each as `printable` makes it."""
    return "\n".join(map(printable, text.split("\n")))


def encodable(value: Any) -> Any:
    """Return builtins that JSON can hold: half a character, as of a name that isn't UTF-8, is escaped."""
    if isinstance(value, Mapping):
        return {encodable(key): encodable(it) for key, it in value.items()}
    if isinstance(value, list | tuple):
        return [encodable(it) for it in value]
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    return value
