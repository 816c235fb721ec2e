"""What becomes of the output of `tta`, wherever it goes: all of it arrives, or one message and an exit code say no."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = (["check"], ["plugins"], ["config", "--json"], ["--help"], ["--version"], ["check", "--help"])
NOT_WRITTEN = "tta: standard output cannot be written: {}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a config folder in which nothing runs."""
    (tmp_path / "base.yaml").write_text("kernel: {autoload: false}\n")
    (tmp_path / "development.yaml").write_text("")
    return tmp_path


def tta(folder: Path, arguments: list[str], redirection: str = "") -> subprocess.CompletedProcess[str]:
    """Run ``tta`` as a shell starts it."""
    script = f'exec "$0" -m tta_program "$@" {redirection}'
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TTA_")}
    return subprocess.run(
        ["sh", "-c", script, sys.executable, *arguments], env=clean | {"TTA_CONFIG": str(folder)}, text=True,
        capture_output=True, check=False, timeout=40,
    )  # fmt: skip


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
def test_what_finds_no_room_is_told_in_one_line(folder: Path, arguments: list[str]) -> None:
    done = tta(folder, arguments, ">/dev/full")
    assert (done.returncode, done.stderr) == (74, NOT_WRITTEN.format("No space left on device"))


@pytest.mark.parametrize("arguments", [["check"], ["--help"]], ids=" ".join)
def test_a_closed_output_is_told_in_one_line(folder: Path, arguments: list[str]) -> None:
    done = tta(folder, arguments, ">&-")
    assert (done.returncode, done.stderr) == (74, NOT_WRITTEN.format("Bad file descriptor"))


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-"])
def test_what_is_closed_or_full_and_not_needed_changes_nothing(folder: Path, redirection: str) -> None:
    done = tta(folder, ["check"], redirection)
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 plugins are ready to start" in done.stdout


@pytest.mark.parametrize("redirection", [">&- 2>&-", ">&- 2>&- <&-"])
def test_with_nobody_to_tell_the_exit_code_says_it(folder: Path, redirection: str) -> None:
    assert tta(folder, ["check"], redirection).returncode == 74


def test_wrong_usage_is_wrong_usage_even_where_nobody_reads_of_it(folder: Path) -> None:
    assert tta(folder, ["nonsense"], ">&- 2>&-").returncode == 2


def test_a_pipe_that_does_not_block_gets_all_of_it(folder: Path) -> None:
    (folder / "base.yaml").write_text(
        "kernel: {autoload: false}\nplugins: {x: {enabled: false, config: {a: " + "b" * 300_000 + "}}}\n"
    )
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETFL, os.O_NONBLOCK)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TTA_")}
    command = [sys.executable, "-m", "tta_program", "config", "--json"]
    with subprocess.Popen(
        command, env=clean | {"TTA_CONFIG": str(folder)}, stdout=writing, stderr=subprocess.PIPE
    ) as process:
        os.close(writing)
        with os.fdopen(reading, "rb") as file:
            found = file.read()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(30) == 0
    assert b"b" * 300_000 in found
    assert found.endswith(b"]\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "--config", "a" * 5000],
        ["check", "--config", f"{'a' * 300}/b"],
        ["check", "--env", "a" * 300],
        ["check", "--env", os.fsdecode(b"\xff")],
        ["check", "--env", "../production"],
    ],
    ids=["path", "part of a path", "name", "no text", "another folder"],
)
def test_what_no_file_can_be_called_is_wrong_usage(folder: Path, arguments: list[str]) -> None:
    done = tta(folder, arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(f"tta: error: argument {arguments[1]}: ")
