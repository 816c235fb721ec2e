"""What `tta play` shows in a process of its own, whatever becomes of its checks, its agent and its Redis."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pexpect
import pytest

from tta_redis.testing import redis_server
from tta_redis.testing.server import wait_until

from .marks import MARK, Seen
from .processes import IN_MEMORY, ON_REDIS, Place

SAID = "my own secret words"
FAULTS = ("nothing", "block", "raise", "lie", "hang", "fail", "burst")
TURNS = "".join(f"{SAID}, {fault}\n" for fault in FAULTS)
PATIENCE = 50.0


@pytest.mark.parametrize("options", [(), ("--json", "--world"), ("--trace",)], ids=" ".join)
def test_a_pipe_shows_what_was_let_pass_and_the_log_none_of_it(options: tuple[str, ...], tmp_path: Path) -> None:
    place = Place(tmp_path, IN_MEMORY)
    done = subprocess.run(
        place.command(*options), input=TURNS, capture_output=True, text=True, check=False, env=place.environ(),
        timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Seen({"stdout": done.stdout}, {"stderr": done.stderr}).leaks(place.approved, SAID) == []
    assert {"Zqonex", "Zqlastx"} <= {*MARK.findall(done.stdout)}
    assert "Zqtwox" in "".join(place.approved)


def test_a_terminal_shows_what_was_let_pass(tmp_path: Path) -> None:
    place = Place(tmp_path, IN_MEMORY)
    program, *arguments = place.command("--trace")
    terminal = pexpect.spawn(
        program, arguments, encoding="utf-8", timeout=PATIENCE, dimensions=(60, 200), env=place.environ()
    )  # fmt: skip
    shown = ""
    for fault in FAULTS:
        terminal.expect("0m>")
        shown += str(terminal.before)
        terminal.send(f"{SAID}, {fault}\r")
    terminal.expect("0m>")
    shown += str(terminal.before)
    shown += ended(terminal)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert Seen({"terminal": plain}, {}).leaks(place.approved) == []
    assert {"Zqonex", "Zqlastx"} <= {*MARK.findall(plain)}


def ended(terminal: pexpect.spawn[str]) -> str:
    """End what is typed, and return what was shown after; an end that comes while no line is read is lost."""
    for _ in range(10):
        terminal.sendeof()
        if terminal.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=PATIENCE / 10) == 0:
            break
    shown = str(terminal.before)
    terminal.wait()
    return shown


def test_where_redis_is_killed_in_mid_turn_what_is_shown_was_let_pass(tmp_path: Path) -> None:
    """It is killed while the second sentence is checked: the first was read, and what comes then can't be kept."""
    with redis_server("--appendonly", "yes", own=True) as server:
        limits = {"connect_timeout": "1s", "socket_timeout": "1s", "command_timeout": "2s"}
        place = Place(tmp_path, ON_REDIS, redis={"url": server.url, **limits})
        play = subprocess.Popen(
            place.command("--json", "--world"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=place.environ(),
        )  # fmt: skip
        with play:
            assert play.stdin is not None
            play.stdin.write(f"{SAID}, wait\n")
            play.stdin.flush()
            wait_until(lambda: place.waits, "the second sentence is checked", limit=PATIENCE)
            server.kill()
            place.go()
            shown, log = play.communicate(f"{SAID}, nothing\n", timeout=PATIENCE)
        assert Seen({"stdout": shown}, {"stderr": log}).leaks(place.approved, SAID) == []
        assert len(shown.splitlines()) == 2
        server.restart()
        after = subprocess.run(
            place.command("--json", "--world"), input=f"{SAID}, block\n", capture_output=True, text=True, check=False,
            env=place.environ(), timeout=PATIENCE,
        )  # fmt: skip
    assert after.returncode == 0, after.stderr
    assert Seen({"stdout": after.stdout}, {"stderr": after.stderr}).leaks(place.approved, SAID) == []
