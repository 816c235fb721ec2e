"""The command as a person or a script uses it: a process of its own, over the shipped config."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pexpect
import pytest

ROOT = Path(__file__).parents[3]


def play(
    *arguments: str, input: bytes = b"", env: str = "development", environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:  # fmt: skip
    command = [sys.executable, "-m", "tta_kernel", "play", "--config", str(ROOT / "config"), "--env", env, *arguments]
    return subprocess.run(command, input=input, capture_output=True, timeout=50, check=False,
                          env={**os.environ, **(environ or {})})  # fmt: skip


def test_each_line_of_input_has_one_line_of_answer() -> None:
    done = play("--seed", "3", input=b"look around\ngo to the lighthouse\nI feel a bit sad\n")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 3
    assert all(len(line) > 40 for line in lines)


def test_a_seed_makes_a_story_repeatable_and_another_one_tells_another() -> None:
    told = [play("--seed", seed, input=b"look around\nwait\n").stdout for seed in ("3", "3", "4")]
    assert told[0] == told[1]
    assert told[0] != told[2]


def test_json_prints_one_response_object_a_line_and_the_world_persists_over_turns() -> None:
    done = play("--json", "--seed", "3", input=b"go west\nlook around\n")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert [first["turn"], second["turn"]] == [1, 2]
    assert first["outcome"] == "story"
    assert first["verdicts"]["story"]["status"] == "unchecked"
    before, after = (r["updated_context"]["world"]["player"]["at"] for r in (first, second))
    assert before == after == "green"


def test_the_trace_names_each_step_and_says_unchecked_and_never_safe() -> None:
    done = play("--trace", "--", "I walk to the lighthouse")
    text = done.stdout.decode()
    trace = text[text.rindex("\nturn 1") :]
    assert done.returncode == 0
    assert all(agent in trace for agent in ("input-processor", "world-builder", "narrative-generator"))
    assert "story's text: unchecked" in trace
    assert "safe" not in trace


def test_commands_of_the_session_answer_and_an_unknown_one_says_which_there_are() -> None:
    done = play(input=b":world\n:trace\nlook\n:world\n:help\n:dance\n:quit\nlook\n")
    text = done.stdout.decode()
    assert "(the story has not begun yet)" in text
    assert "You are at:" in text
    assert "there is no :dance" in text
    assert text.rstrip().endswith("(there is no :dance; there are :trace, :world, :help and :quit)")


def test_bad_lines_are_answered_and_the_session_goes_on() -> None:
    done = play(input=b"\n\xff\xfe\n" + b"a" * 100_000 + b"\n\x1b[31m\x07\n\xf0\x9f\x98\x80\nlook around\n")
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[0].startswith("(there is nothing to read")
    assert lines[1] == "(that isn't UTF-8 text; send UTF-8)"
    assert "the first 4,000 characters of 100,000" in lines[2]
    assert "\x1b" not in done.stdout.decode()
    assert len(lines[-1]) > 40


@pytest.mark.parametrize("env", ["staging", "production"])
def test_where_somebody_must_check_and_nobody_does_the_player_gets_the_fallback(env: str) -> None:
    done = play("--json", "--", "look around", env=env)
    response = json.loads(done.stdout)
    assert response["outcome"] == "fallback"
    assert "support" in response["text"]
    assert response["verdicts"]["player"]["status"] == "unchecked"


def test_a_misspelt_environment_is_an_error_with_a_suggestion() -> None:
    done = play("--", "look", env="prodution")
    assert done.returncode == 3
    assert b"did you mean 'production'?" in done.stderr


def test_a_person_at_a_terminal_plays_and_leaves() -> None:
    command = ["-m", "tta_kernel", "play", "--config", str(ROOT / "config"), "--seed", "3"]
    terminal = pexpect.spawn(sys.executable, command, encoding="utf-8", timeout=30, dimensions=(40, 100))
    terminal.expect("0m>")  # the cursor moves on where a space would be
    terminal.send("look around\r")
    terminal.expect("lighthouse")
    terminal.send(":trace\r")
    terminal.expect("narrative-generator")
    terminal.send(":quit\r")
    terminal.expect(pexpect.EOF)
    terminal.wait()
    assert terminal.exitstatus == 0


def test_a_terminal_gets_wrapped_text_and_tables() -> None:
    command = ["-m", "tta_kernel", "play", "--config", str(ROOT / "config"), "--seed", "3"]
    terminal = pexpect.spawn(sys.executable, command, encoding="utf-8", timeout=30, dimensions=(40, 140))
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


def test_a_pipe_gets_no_colour_even_where_the_environment_asks_for_it() -> None:
    done = play("--trace", "--seed", "3", input=b"look\n:world\n", environ={"FORCE_COLOR": "1"})

    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout
