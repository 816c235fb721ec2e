"""What holding back and letting through costs: breakers, queues before agents, schedules; see README.md.

Each row is measured by a module of its own beside this one, which says with ``measure()`` what it found, by the names
in the last line's JSON. Without names all are: ``bench/flow.py breakers``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform

ROWS = ("breakers", "pools", "schedules")


def main() -> None:
    """Measure the rows that are named, and print them."""
    parser = argparse.ArgumentParser(description="what holding back and letting through costs")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)} (all)")
    wanted = parser.parse_args().rows or ROWS
    if unknown := [each for each in wanted if each not in ROWS]:
        parser.error(f"no row is called {unknown[0]}; there are {', '.join(ROWS)}")
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}")
    found: dict[str, float] = {}
    for row in wanted:
        found |= importlib.import_module(f"flow_{row}").measure()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
