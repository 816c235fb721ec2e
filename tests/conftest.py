"""What the tests of the whole tree share: where it is, and that they test what they should."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What runs in frameworks needs them: `make test-embedding`.
collect_ignore = ["embedding"]


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the top of the tree."""
    return ROOT


@pytest.fixture
def playable() -> dict[str, Any]:
    """Return config of plugins under which a turn is played with no server, and nobody to tell of a crisis."""
    return {"crisis": {"config": {"need_durable": False}}, "notify": {"config": {"need_humans": False}}}


def pytest_report_header() -> list[str]:
    found = importlib.util.find_spec("tta_kernel")
    return [f"tta_kernel: {found.origin if found else 'not installed'}"]


def pytest_sessionstart() -> None:
    """Stop a run that is meant for wheels, but would import a source tree."""
    if os.environ.get("TTA_TESTS_EXPECT") != "wheels":
        return
    names = {d.name for d in distributions() if d.name.startswith("tta-")}
    packages = {name.replace("-", "_"): importlib.util.find_spec(name.replace("-", "_")) for name in names}
    elsewhere = [
        f"{name}: {spec.origin if spec else None}"
        for name, spec in packages.items()
        if spec is None or spec.origin is None or not Path(spec.origin).is_relative_to(sys.prefix)
    ]
    if elsewhere or not names:
        raise pytest.UsageError(f"not imported from an installed wheel: {elsewhere or 'nothing is installed'}")
