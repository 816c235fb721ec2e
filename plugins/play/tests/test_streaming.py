"""A terminal gets each sentence as it is released: an agent tells the second one only when the test says so."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pexpect
import pytest

PLUGIN = """
import logging
import os
from pathlib import Path

import anyio
from tta_agents import AgentPlugin, AgentSpec
from tta_kernel import NoConfig
from tta_orchestration import TurnOutput
from tta_orchestration.testing import Scene

GO = Path(os.environ["GO"])


class Halting(AgentPlugin[NoConfig]):
    spec = AgentSpec("halting", "tells a sentence, and waits", Scene, TurnOutput, timeout=60.0)

    async def process(self, request, ctx, /):
        await ctx.emit("The first sentence. And then ")
        while not GO.exists():
            await anyio.sleep(0.01)
        if "LOG" in os.environ:
            logging.getLogger("tta.halting").warning("a line of the log")
        await ctx.emit("the second.")
        return TurnOutput("The first sentence. And then the second.", {})
"""
NAMES = (
    "agents", "agents-memory", "workflows", "workflows-local", "workflows-memory", "sessions", "sessions-memory",
    "safety", "orchestration", "play",
)  # fmt: skip
TURN = {
    "steps": [{"id": "story", "agent": "halting", "stream": True, "input": {"text": "input.text"}}],
    "output": {"text": "steps.story.text", "world": "steps.story.world"},
}


class Theatre:
    """A config whose story halts after its first sentence, until `go`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        info = folder / "tta_halting-0.1.dist-info"
        info.mkdir()
        (folder / "tta_halting.py").write_text(PLUGIN)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tta-halting\nVersion: 0.1\n")
        (info / "entry_points.txt").write_text("[tta.plugins]\nhalting = tta_halting:Halting\n")
        plugins: dict[str, object] = {name: {"enabled": True} for name in (*NAMES, "halting")}
        plugins["workflows"] = {"config": {"workflows": {"turn": TURN}}}
        plugins["orchestration"] = {"config": {"allow_unchecked": True}}
        settings = {"kernel": {"autoload": False}, "plugins": plugins}
        (folder / "base.yaml").write_bytes(msgspec.yaml.encode(settings))
        (folder / "development.yaml").write_text("")
        paths = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
        clean = {key: value for key, value in os.environ.items() if not key.startswith("TTA_")}
        self.environ = clean | {"PYTHONPATH": paths, "GO": str(folder / "go")}
        self.command = ["-m", "tta_program", "play", "--config", str(folder), "--env", "development"]

    def go(self) -> None:
        (self._folder / "go").touch()

    def terminal(self, *arguments: str) -> pexpect.spawn[str]:
        return pexpect.spawn(
            sys.executable, [*self.command, *arguments], encoding="utf-8", timeout=30, dimensions=(40, 100),
            env=self.environ,
        )  # fmt: skip


@pytest.fixture
def theatre(tmp_path: Path) -> Theatre:
    return Theatre(tmp_path)


@pytest.fixture
def told(theatre: Theatre) -> Iterator[pexpect.spawn[str]]:
    """A terminal on which the first sentence stands, and the second can't yet."""
    terminal = theatre.terminal("look", "around")
    terminal.expect("The first sentence.")
    yield terminal
    terminal.close(force=True)


def test_a_sentence_is_on_the_screen_while_the_next_one_is_still_being_told(
    theatre: Theatre, told: pexpect.spawn[str]
) -> None:
    theatre.go()
    told.expect("And then the second.")
    told.expect(pexpect.EOF)
    told.wait()
    assert told.exitstatus == 0


def test_a_line_of_the_log_stands_between_two_sentences(theatre: Theatre) -> None:
    theatre.environ["LOG"] = "1"
    terminal = theatre.terminal("look", "around")
    terminal.expect(r"The first sentence\.")
    theatre.go()
    terminal.expect(r"\r\n[0-9:]+ WARNING +halting: a line of the log[^\n]*\r\n +And then the second\.")
    terminal.expect(pexpect.EOF)


def test_a_line_of_the_log_stands_above_the_prompt(theatre: Theatre) -> None:
    theatre.environ["LOG"] = "1"
    theatre.go()
    terminal = theatre.terminal()
    terminal.expect("0m>")
    terminal.send("look around\r")
    terminal.expect("a line of the log")
    terminal.expect("And then the second.")
    terminal.expect("0m>")
    terminal.send(":quit\r")
    terminal.expect(pexpect.EOF)


CTRL_S, CTRL_Q = "\x13", "\x11"


def test_a_terminal_that_was_stopped_shows_the_rest_once_it_goes_on(theatre: Theatre, told: pexpect.spawn[str]) -> None:
    told.send(CTRL_S)
    theatre.go()
    told.send(CTRL_Q)
    told.expect("And then the second.")
    told.expect(pexpect.EOF)
    told.wait()
    assert told.exitstatus == 0


def test_a_terminal_that_is_stopped_does_not_keep_it_from_ending(theatre: Theatre, told: pexpect.spawn[str]) -> None:
    told.send(CTRL_S)
    theatre.go()
    # It hears the signal, though what it writes is not taken.
    told.kill(signal.SIGTERM)
    told.expect(pexpect.EOF)
    told.wait()
    assert told.exitstatus == 143


def test_the_trace_comes_after_the_story(theatre: Theatre) -> None:
    theatre.go()
    terminal = theatre.terminal("--trace", "look", "around")
    terminal.expect("And then the second.")
    terminal.expect("halting +[0-9.]+ ms")
    terminal.expect(pexpect.EOF)


def test_ctrl_c_in_the_middle_of_a_story_ends_it_at_once_and_without_a_traceback(told: pexpect.spawn[str]) -> None:
    told.sendintr()
    told.expect(pexpect.EOF)
    told.wait()
    assert "Traceback" not in (told.before or "")
    assert told.exitstatus == 130


def test_a_terminal_that_is_closed_in_the_middle_of_a_story_ends_it(told: pexpect.spawn[str]) -> None:
    told.kill(signal.SIGHUP)
    told.expect(pexpect.EOF)
    told.wait()
    assert "Traceback" not in (told.before or "")
    assert told.exitstatus == 129


def test_a_terminal_that_is_closed_while_it_waits_for_a_line_ends_it_without_a_traceback(theatre: Theatre) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, *theatre.command]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, text=True, env=theatre.environ
    ) as process:  # fmt: skip
        os.close(theirs)
        shown = b""
        while b">" not in shown:
            shown += os.read(ours, 1000)
        os.close(ours)
        _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors
    assert process.returncode == 129


def test_what_cannot_be_played_is_refused_at_a_terminal_and_the_next_line_is_played(theatre: Theatre) -> None:
    theatre.go()
    terminal = theatre.terminal()
    terminal.expect("0m>")
    terminal.send("\x1b[200~\x07\x1b[201~\r")  # pasted, so that it isn't taken for a key
    terminal.expect("there is nothing to read")
    terminal.send("look around\r")
    terminal.expect("And then the second.")
    terminal.send(":quit\r")
    terminal.expect(pexpect.EOF)


def test_a_pipe_gets_one_line_when_all_of_it_was_told(theatre: Theatre) -> None:
    with subprocess.Popen(
        [sys.executable, *theatre.command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=theatre.environ
    ) as process:  # fmt: skip
        theatre.go()
        out, _ = process.communicate(b"look\nlook again\n", timeout=50)
    assert out.decode().splitlines() == ["The first sentence. And then the second."] * 2
