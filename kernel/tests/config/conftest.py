"""A config folder to write into, and nothing else around."""

from __future__ import annotations

from pathlib import Path

import pytest

from .common import Write


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files named by keyword (``base="…"`` becomes base.yaml) into one config folder."""

    def write(**texts: str) -> Path:
        folder = tmp_path / "config"
        folder.mkdir(exist_ok=True)
        for name, text in {"base": "", "development": "", **texts}.items():
            (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        return folder

    return write


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture(autouse=True)
def nothing_installed_ships_a_folder(nothing_installed: None) -> None:
    """Hide what this environment happens to have installed; what a test ships stays."""
