"""What becomes of the output of `tta`, wherever it goes: all of it arrives, or one message and an exit code say no."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
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


PRINTING = """
import os, sys
from contextlib import asynccontextmanager
from tta_kernel import Health, NoConfig, Plugin, Service, hookimpl

def say(where):
    print("printed in", where)
    os.system(f"echo a child printed in {where}")

async def command(kernel, options):
    print("the answer")
    os.system("echo and what a child answers")
    return 0

say("import")
KEY = Service("printing")

class P(Plugin[NoConfig]):
    provides = (KEY,)

    def __init__(self, config):
        super().__init__(config)
        say("the constructor")

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands):
        say("register_commands")
        subcommands.add("answer", command, help="answer", requires=(KEY,))

    @hookimpl
    def check(self, hooks):
        say("check")
        return []

    @hookimpl
    async def health(self):
        say("health")
        return Health("ok")

    @asynccontextmanager
    async def lifespan(self, ctx):
        ctx.provide(KEY, "printing")
        say("the start")
        yield
        say("the stop")
"""
ALWAYS = ["import", "the constructor", "register_commands"]
RUNNING = [*ALWAYS, "check", "the start"]


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        ("config --json", ALWAYS),
        ("plugins --json", [*ALWAYS, "check"]),
        ("check --json", [*ALWAYS, "check"]),
        ("health --json", [*RUNNING, "health", "the stop"]),
        ("answer", [*RUNNING, "the stop"]),
    ],
)
def test_what_a_plugin_prints_is_no_part_of_the_output(
    folder: Path, ship: Callable[..., Path], arguments: str, printed: list[str]
) -> None:
    """modelcontextprotocol/python-sdk #3117, mempalace #225: a print of a plugin's, or of its child's, within JSON."""
    site = ship("printing", "printing = printing:P", PRINTING)
    (folder / "development.yaml").write_text("plugins: {printing: {}}\n")
    script = f'PYTHONPATH="{site}" exec "$0" -m tta_program "$@"'
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TTA_")}
    done = subprocess.run(
        ["sh", "-c", script, sys.executable, *arguments.split()], env=clean | {"TTA_CONFIG": str(folder)}, text=True,
        capture_output=True, check=False, timeout=40,
    )  # fmt: skip
    if arguments == "answer":
        assert sorted(done.stdout.splitlines()) == ["and what a child answers", "the answer"]
    else:
        json.loads(done.stdout)
    for where in printed:
        assert f"printed in {where}\n" in done.stderr
        assert f"a child printed in {where}\n" in done.stderr
