"""What `make demo` shows beside a turn."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def at(root: Path, tmp_path: Path) -> Path:
    """Stand at the top of a tree in which nobody has changed the config."""
    (tmp_path / "config").mkdir()
    shutil.copy(root / "config/base.yaml", tmp_path / "config")
    shutil.copytree(root / "config/workflows", tmp_path / "config/workflows")
    shutil.copy(root / "config/development.yaml", tmp_path / "config")
    return tmp_path


def run(at: Path, *words: str) -> str:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("TTA_")}
    done = subprocess.run(
        [sys.executable, *words], cwd=at, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_runs_what_is_tried_here(root: Path) -> None:
    recipe = (root / "Makefile").read_text(encoding="utf-8").partition("\ndemo: ")[2].partition("\n\n")[0]
    assert "tta workflows graph turn" in recipe
    assert "scripts/demo_retry.py" in recipe
    assert "scripts/demo_crisis.py" in recipe


def test_the_turn_is_drawn(at: Path) -> None:
    title, *steps = run(at, "-m", "tta_program", "workflows", "graph", "turn").splitlines()
    assert title == "turn: at most 30 s"
    assert [line.split()[0] for line in steps] == ["scene", "intent", "reach-out", "meta", "look", "tell", "act"]


def test_a_step_that_fails_once_is_tried_again(root: Path, at: Path) -> None:
    said = [line.split() for line in run(at, str(root / "scripts/demo_retry.py")).splitlines()]
    assert [words[:4] for words in said[1:-1]] == [
        ["light", "attempt", "1", "started"], ["light", "attempt", "1", "failed"],
        ["light", "attempt", "2", "started"], ["light", "attempt", "2", "done"],
    ]  # fmt: skip
    assert said[-1][:5] == ["the", "run", "is", "done:", "the"]


def test_a_crisis_is_answered_opened_and_told_to_somebody(root: Path, at: Path) -> None:
    said = run(at, str(root / "scripts/demo_crisis.py"))
    answer, _, after = said.partition("what was opened for it:")
    opened, _, told = after.partition("who was told of it:")
    assert "Are you thinking about killing yourself?" in answer
    assert opened.split() == ["suicide", "critical", "open"]
    assert told.split()[-2:] == ["queue", "accepted"]
