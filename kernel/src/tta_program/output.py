"""What a command tells a person: a table, or why it failed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from .exits import WANTING


def table(rows: Iterable[Sequence[str]]) -> None:
    """Print rows of cells in aligned columns; what can't be printed is shown as a question mark."""
    for line in aligned(rows):
        print(line)


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of `table`."""
    shown = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = []
    for row in shown:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
    return lines


def fail(command: str, why: str) -> int:
    """Say on standard error why ``tta COMMAND`` failed, and return the exit code for that."""
    print("\n".join(map(_printable, f"tta {command}: {why}".split("\n"))), file=sys.stderr)
    return WANTING


def _printable(text: str) -> str:
    # An escape sequence in a foreign value would be the terminal's to obey.
    return "".join(char if char.isprintable() else "?" for char in text)
