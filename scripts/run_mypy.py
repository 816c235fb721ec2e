"""Type-check every source and every test in as few mypy runs as their file names allow.

Test folders have no ``__init__.py``, so mypy takes ``plugins/a/tests/test_x.py`` and
``plugins/b/tests/test_x.py`` for one module. Folders that share a name go into different rounds;
the sources are in each round, and from the second on they come out of mypy's cache.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("*/src", "plugins/*/src")
TESTS = ("conftest.py", "tests", "*/tests", "plugins/*/tests")
LOOSE = ("bench/*.py", "docs/conf.py", "plugin-template/*.py", "scripts/*.py")


def rounds(paths: Iterable[Path]) -> list[list[Path]]:
    """Deal folders and single files into lists in which no two hold modules of the same name."""
    dealt: list[tuple[set[str], list[Path]]] = []
    for path in paths:
        names = {path.name} if path.is_file() else {str(file.relative_to(path)) for file in path.rglob("*.py")}
        for taken, members in dealt:
            if not taken & names:
                taken |= names
                members.append(path)
                break
        else:
            dealt.append((names, [path]))
    return [members for _, members in dealt]


def found(patterns: Iterable[str]) -> list[Path]:
    """Return what the patterns match, where there is Python in it."""
    paths = sorted({path for pattern in patterns for path in ROOT.glob(pattern)})
    return [path for path in paths if path.is_file() or any(path.rglob("*.py"))]


def main(arguments: Sequence[str]) -> int:
    """Run mypy once per round, and return its worst exit status."""
    shipped = found(SOURCES) + found(LOOSE)
    worst = 0
    for tests in rounds(found(TESTS)) or [[]]:
        command = [sys.executable, "-m", "mypy", *arguments, *map(str, shipped + tests)]
        worst = max(worst, subprocess.run(command, cwd=ROOT, check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
