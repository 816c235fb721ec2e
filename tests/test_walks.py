"""The pages that lead through the code name what there is."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest


def resolve(name: str) -> object:
    """Return what a dotted name stands for: modules as far as they go, then attributes."""
    parts = name.split(".")
    found: object = import_module(parts[0])
    for at, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            import_module(".".join(parts[:at]))
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("name", ["a-turn", "kernel"])
def test_each_name_on_the_page_is_there(root: Path, name: str) -> None:
    page = (root / f"docs/{name}.md").read_text(encoding="utf-8")
    names = re.findall(r"`(tta_[\w.]+)`", page)
    assert len(names) > 15
    assert all(resolve(name) is not None for name in names)
