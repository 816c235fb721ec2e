"""Play all conversations and print the table: ``python -m safety_conversations [NAME…]``, in the folder ``tests``.

With names only the conversations whose id begins with one are played, and with ``-v`` red ones are printed whole.
"""

from __future__ import annotations

import argparse
import sys

import anyio

from .rubric import Judged, table
from .script import scripts
from .stage import converse_all, reds


def main() -> int:
    """Return 1 where anything is red."""
    parser = argparse.ArgumentParser(prog="python -m safety_conversations", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    chosen = [script for script in scripts() if not args.names or script.id.startswith(tuple(args.names))]
    judged = anyio.run(converse_all, chosen)
    print(f"{len(judged)} conversations\n{table(judged)}")
    found = reds(judged)
    for item, ids in found.items():
        print(f"red: {item}: {len(ids)}: {' '.join(ids)}")
    if args.verbose:
        for one in judged:
            if "red" in one.items.values():
                print(f"\n{told(one)}")
    return 1 if found else 0


def told(one: Judged) -> str:
    """Write a conversation down, with its red items above it."""
    red = [name for name, colour in one.items.items() if colour == "red"]
    lines = [f"== {one.script.id}: {'; '.join(red)}"]
    for number, turn in enumerate(one.turns):
        mark = ">" if number == one.script.clear else " "
        lines.append(f"{mark} {turn.player}\n    [{turn.outcome} {' '.join(turn.kinds)}] {turn.answer}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
