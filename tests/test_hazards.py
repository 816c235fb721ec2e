"""The hazard log names tests: each of them exists, and each hazard has one, or says openly that it has none."""

from __future__ import annotations

import re
from pathlib import Path


def rows(page: str) -> list[list[str]]:
    """Return the cells of the rows of the first table, without its head."""
    table = page.partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names_in(root: Path) -> set[str]:
    files = [
        *root.glob("tests/**/test_*.py"),
        *root.glob("plugins/*/tests/**/test_*.py"),
        *root.glob("kernel/tests/**/test_*.py"),
    ]
    files += root.glob("plugins/*/src/**/testing/*.py")
    return {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))}


def unknown(page: str, known: set[str]) -> list[str]:
    """Return what is wrong with the log's rows."""
    found = []
    for hazard, severity, caught, shown in rows(page):
        named = re.findall(r"`(test_\w+)`", shown)
        if not named or severity not in "1234" or not caught:
            found.append(f"{hazard}: names no test, no severity, or nothing that catches it")
        found += [f"{hazard}: there is no {name}" for name in named if name not in known]
    return found


def test_each_hazard_names_tests_that_exist(root: Path) -> None:
    page = (root / "docs" / "hazard-log.md").read_text(encoding="utf-8")
    assert len(rows(page)) > 20
    assert unknown(page, names_in(root)) == []


def test_a_row_whose_test_is_gone_is_found() -> None:
    head = "| hazard | severity | caught | shown |\n|---|---|---|---|\n"
    page = head + "| fire | 4 | water | `test_fire` |\n| ice | 3 | salt | |\n"
    assert unknown(page, set()) == [
        "fire: there is no test_fire",
        "ice: names no test, no severity, or nothing that catches it",
    ]
