"""The command ``tta`` as its user meets it: a process with exit codes, pipes and signals."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Ship = Callable[..., Path]
Done = subprocess.CompletedProcess[str]
PLUGIN = "from tta_kernel import *\nclass P(Plugin[NoConfig]): pass\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a config folder in which only what is named runs."""
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "base.yaml").write_text("kernel: {autoload: false, log_format: json}\n")
    (folder / "development.yaml").write_text("")
    return folder


def environment(folder: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TTA_")}
    return {**kept, "TTA_CONFIG": str(folder), "PYTHONPATH": str(folder.parent / "site")}


def tta(folder: Path, *arguments: str) -> Done:
    command = [sys.executable, "-m", "tta_kernel", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment(folder), timeout=30)


def name_them(folder: Path, *names: str, required: bool = True) -> None:
    sections = ", ".join(f"{name}: {{required: {str(required).lower()}}}" for name in names)
    (folder / "development.yaml").write_text(f"plugins: {{{sections}}}\n")


def test_a_reader_that_stops_reading_is_no_error(folder: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "tta_kernel", "plugins"]
    process = subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE, env=environment(folder), text=True)
    os.close(writer)
    _, errors = process.communicate(timeout=30)
    assert errors == ""
    assert process.returncode == 141


@pytest.mark.parametrize(
    "arguments", [["--", "check"], ["--env", "development", "check"], ["--env=development", "--", "check"]]
)
def test_options_and_dashes_may_stand_before_the_command(folder: Path, arguments: list[str]) -> None:
    done = tta(folder, *arguments)
    assert (done.returncode, done.stdout) == (0, "development: 0 plugins are ready to start\n")


def test_dashes_may_stand_before_run(folder: Path) -> None:
    (folder / "development.yaml").write_text("kernel: {autolod: true}")
    done = tta(folder, "--", "run")
    assert done.returncode == 3
    assert done.stderr.startswith("tta run: could not start:\n")
