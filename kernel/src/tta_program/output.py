"""What a command tells a person: a table, or why it failed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

__all__ = ["fail", "table"]


def table(rows: Iterable[Sequence[str]]) -> None:
    """Print rows of cells in aligned columns; what can't be printed is shown as a question mark."""
    # An escape sequence in a foreign value would be the terminal's to obey.
    shown = [["".join(c if c.isprintable() else "?" for c in cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def fail(command: str, why: str) -> int:
    """Say on standard error why ``tta COMMAND`` failed, and return the exit code for "found wanting"."""
    print(f"tta {command}: {why}", file=sys.stderr)
    return 1
