"""The command as a person or a script uses it: a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pexpect
import pytest

# A config of their own: nobody's edits of config/ change what these tests see.
NAMES = (
    "agents", "agents-memory", "workflows", "workflows-local", "workflows-memory", "sessions", "sessions-memory",
    "safety", "orchestration", "play",
    "input-processor", "world-builder", "narrative-generator",
)  # fmt: skip
TURN = {
    "steps": [
        {"id": "scene", "agent": "world-builder", "input": {"world": "input.world", "seed": "input.seed"}},
        {"id": "intent", "agent": "input-processor", "input": {"text": "input.text", "world": "steps.scene.world"}},
        {
            "id": "world",
            "agent": "world-builder",
            "input": {"intent": "steps.intent.intent", "world": "steps.scene.world", "seed": "input.seed"},
        },
        {
            "id": "story",
            "agent": "narrative-generator",
            "stream": True,
            "input": {
                "change": "steps.world.change", "world": "steps.world.world", "seed": "input.seed",
                "turn": "input.turn",
            },
        },
    ],
    "output": {"text": "steps.story.text", "world": "steps.story.world"},
}  # fmt: skip


class Tta:
    """``tta play`` as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def command(self, *arguments: str, env: str = "development") -> list[str]:
        return ["-m", "tta_program", "play", "--config", str(self.folder), "--env", env, *arguments]

    @staticmethod
    def environ(**more: str) -> dict[str, str]:
        return {key: value for key, value in os.environ.items() if not key.startswith("TTA_")} | more

    def play(
        self, *arguments: str, input: bytes = b"", env: str = "development", environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:  # fmt: skip
        command = [sys.executable, *self.command(*arguments, env=env)]
        return subprocess.run(
            command, input=input, capture_output=True, timeout=50, check=False, env=self.environ(**(environ or {}))
        )  # fmt: skip


@pytest.fixture
def tta(tmp_path: Path) -> Tta:
    """Write a config: in ``development`` stories may be unchecked, in ``production`` somebody must check."""
    plugins: dict[str, object] = {name: {"enabled": True} for name in NAMES}
    plugins["workflows"] = {"config": {"workflows": {"turn": TURN}}}
    base = {"kernel": {"autoload": False}, "plugins": plugins}
    lenient = {"plugins": {"orchestration": {"config": {"allow_unchecked": True}}}}
    for name, section in (("base", base), ("development", lenient), ("production", {})):
        (tmp_path / f"{name}.yaml").write_bytes(msgspec.yaml.encode(section))
    return Tta(tmp_path)


def test_each_line_of_input_has_one_line_of_answer(tta: Tta) -> None:
    done = tta.play("--seed", "3", input=b"look around\ngo to the lighthouse\nI feel a bit sad\n")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 3
    assert all(len(line) > 40 for line in lines)


def test_a_seed_makes_a_story_repeatable_and_another_one_tells_another(tta: Tta) -> None:
    told = [tta.play("--seed", seed, input=b"look around\nwait\n").stdout for seed in ("3", "3", "4")]
    assert told[0] == told[1]
    assert told[0] != told[2]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--seed", "9" * 30], "argument --seed: a seed has at most 64 bits"),
        (["--seed", "nan"], "argument --seed: a seed is a whole number of at most 64 bits"),
        (["--seed", "9" * 5000], "argument --seed: a seed is a whole number of at most 64 bits"),
        (["--session", os.fsdecode(b"\xff")], "argument --session: a name is text in UTF-8"),
        (["--user", os.fsdecode(b"\xff"), "--json"], "argument --user: a name is text in UTF-8"),
    ],
)
def test_what_could_not_be_kept_is_wrong_usage(tta: Tta, arguments: list[str], why: str) -> None:
    done = tta.play(*arguments, "look around")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().splitlines()[-1] == f"tta play: error: {why}"


def test_an_option_that_would_do_nothing_is_wrong_usage(tta: Tta) -> None:
    done = tta.play("--world", "look around")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"tta play: --world belongs to --json; in a game, write :world\n"


def test_a_story_is_told_as_markdown_and_no_longer_than_is_wanted(tta: Tta) -> None:
    done = tta.play("--json", "--seed", "3", "--format", "markdown", "--most", "200", "say [hi](http://evil.example)")
    turn = json.loads(done.stdout)
    assert turn["outcome"] == "story"
    assert "](" not in turn["text"].replace("\\]", "")
    assert len(turn["text"]) <= 250
    refused = tta.play("--most", "3", "look around")
    assert refused.returncode == 2
    assert b"40 or more" in refused.stderr


def test_json_prints_one_response_object_a_line_and_the_world_persists_over_turns(tta: Tta) -> None:
    done = tta.play("--json", "--world", "--seed", "3", input=b"go west\nlook around\n")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert [first["turn"], second["turn"]] == [1, 2]
    assert first["outcome"] == "story"
    assert first["verdicts"]["story"]["status"] == "unchecked"
    before, after = (r["updated_context"]["world"]["player"]["at"] for r in (first, second))
    assert before == after == "green"


def test_the_trace_names_each_step_and_says_unchecked_and_never_safe(tta: Tta) -> None:
    done = tta.play("--trace", "--", "I walk to the lighthouse")
    text = done.stdout.decode()
    trace = text[text.rindex("\nturn 1") :]
    assert done.returncode == 0
    assert all(agent in trace for agent in ("input-processor", "world-builder", "narrative-generator"))
    assert "story's text: unchecked" in trace
    assert "safe" not in trace


def test_commands_of_the_session_answer_and_an_unknown_one_says_which_there_are(tta: Tta) -> None:
    done = tta.play(input=b":world\n:trace\nlook\n:world\n:help\n:dance\n:quit\nlook\n")
    text = done.stdout.decode()
    assert "(the story has not begun yet)" in text
    assert "You are at:" in text
    assert "there is no :dance" in text
    assert text.rstrip().endswith("(there is no :dance; there are :trace, :world, :help and :quit)")


def test_bad_lines_are_answered_and_the_session_goes_on(tta: Tta) -> None:
    done = tta.play(input=b"\n\xff\xfe\n" + b"a" * 100_000 + b"\n\x1b[31m\x07\n\xf0\x9f\x98\x80\nlook around\n")
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[0].startswith("(there is nothing to read")
    assert lines[1] == "(that isn't UTF-8 text; send UTF-8)"
    assert "the first 4,000 characters of 100,000" in lines[2]
    assert "\x1b" not in done.stdout.decode()
    assert len(lines[-1]) > 40


def test_where_somebody_must_check_and_nobody_does_no_story_begins(tta: Tta) -> None:
    done = tta.play("--json", "--", "look around", env="production")
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"no enabled plugin checks text" in done.stderr


def test_a_misspelt_environment_is_an_error_with_a_suggestion(tta: Tta) -> None:
    done = tta.play("--", "look", env="prodution")
    assert done.returncode == 3
    assert b"did you mean 'production'?" in done.stderr


def at_a_terminal(tta: Tta, columns: int = 100) -> pexpect.spawn[str]:
    command = tta.command("--seed", "3")
    return pexpect.spawn(
        sys.executable, command, encoding="utf-8", timeout=30, dimensions=(40, columns), env=tta.environ()
    )  # fmt: skip


def test_a_person_at_a_terminal_plays_and_leaves(tta: Tta) -> None:
    terminal = at_a_terminal(tta)
    terminal.expect("A story, told as you go")
    terminal.expect(":help says more")
    terminal.expect("0m>")  # the cursor moves on where a space would be
    terminal.send("look around\r")
    terminal.expect("lighthouse")
    terminal.send(":trace\r")
    terminal.expect("narrative-generator")
    terminal.send(":quit\r")
    terminal.expect(pexpect.EOF)
    terminal.wait()
    assert terminal.exitstatus == 0


def test_a_terminal_gets_wrapped_text_and_tables(tta: Tta) -> None:
    terminal = at_a_terminal(tta, columns=140)
    terminal.expect("0m>")
    terminal.send("go to the harbour and say hello\r")
    terminal.expect("Mind the floats")
    told = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.before or "")
    terminal.send(":trace\r")
    terminal.expect("narrative-generator +[0-9.]+ ms")
    terminal.send(":world\r")
    terminal.expect("Who is here +Bram")
    terminal.send(":quit\r")
    terminal.expect(pexpect.EOF)

    lines = told.replace("\r", "").splitlines()[2:]
    assert len(lines) > 10
    assert max(map(len, lines)) <= 84


def test_a_pipe_gets_no_colour_even_where_the_environment_asks_for_it(tta: Tta) -> None:
    done = tta.play("--trace", "--seed", "3", input=b"look\n:world\n", environ={"FORCE_COLOR": "1"})

    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout


def test_json_is_all_that_json_prints_and_a_turn_has_the_world_only_where_it_is_asked_for(tta: Tta) -> None:
    done = tta.play("--json", input=b":trace\n:world\nlook\n:trace\n:world\n:help\n:dance\n\n\xff\n")
    before, nowhere, turn, trace, world, help, *errors = (json.loads(line) for line in done.stdout.splitlines())
    assert (before, nowhere) == ({"trace": None}, {"world": None})
    assert turn["updated_context"].keys() == {"turn", "seed"}
    assert [step["id"] for step in trace["trace"]["steps"]] == ["scene", "intent", "world", "story"]
    assert trace["trace"]["verdicts"]["story"]["status"] == "unchecked"
    assert world["world"]["player"]["at"] == "bus-stop"
    assert ":quit" in help["help"]
    assert [error.keys() for error in errors] == [{"error"}] * 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_it_in_order_and_at_once_though_more_input_may_come(tta: Tta, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, *tta.command("--json")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=tta.environ(),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"look\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["outcome"] == "story"
        process.send_signal(number)
        assert process.wait(20) == 128 + number
        assert b"Traceback" not in process.stderr.read()


def test_a_terminal_that_is_closed_ends_it(tta: Tta) -> None:
    terminal = at_a_terminal(tta)
    terminal.expect("0m>")
    terminal.kill(signal.SIGHUP)
    terminal.expect(pexpect.EOF)
    terminal.wait()
    assert "Traceback" not in (terminal.before or "")
    assert terminal.exitstatus == 129


@pytest.mark.parametrize("arguments", [(), ("--json",), ("--trace",)], ids=["lines", "json", "trace"])
def test_a_reader_that_leaves_ends_it(tta: Tta, arguments: tuple[str, ...]) -> None:
    with subprocess.Popen(
        [sys.executable, *tta.command(*arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=tta.environ(),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"look\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"look\n" * 3)
        process.stdin.flush()
        assert process.wait(30) == 141
        assert b"Traceback" not in process.stderr.read()


@pytest.mark.parametrize("arguments", [(), ("--json",), ("--trace",)], ids=["lines", "json", "trace"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
def test_what_finds_no_room_ends_it_with_a_message(tta: Tta, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, *tta.command(*arguments)]
        done = subprocess.run(
            command, input=b"look\nlook\n", stdout=full, stderr=subprocess.PIPE, check=False, timeout=50,
            env=tta.environ(),
        )  # fmt: skip
    assert done.returncode == 74
    # On a busy machine the log may say before that something took long.
    assert done.stderr.splitlines()[-1] == b"tta: standard output cannot be written: No space left on device"
    assert b"Traceback" not in done.stderr


def test_a_reader_that_stalls_does_not_keep_it_from_ending(tta: Tta) -> None:
    with subprocess.Popen(
        [sys.executable, *tta.command("--json", "--world")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=tta.environ(),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"look\n" * 20)  # A pipe holds two or three of its answers.
        process.stdin.flush()
        assert process.stdout.read(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
        assert b"Traceback" not in process.stderr.read()
