"""What the log looks like, for people and for machines, and what is in it for nobody."""

from __future__ import annotations

import json
import logging
import os
import pty
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tta_kernel import correlation_id
from tta_program import logs

SECRETS = ("hunter2", 'pa"ss\\wörd')
URL = "db://me:sw0rdfish@db.example.org/0"


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(params=["human", "json"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def line_of(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    [line] = capsys.readouterr().err.splitlines()
    found: dict[str, object] = json.loads(line)
    return found


def test_a_json_line_says_when_how_bad_who_what_and_what_for(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info", "json")
    token = correlation_id.set("c-1")
    logging.getLogger("tta.clock").warning("struck %d", 12, extra={"hour": 12, "event": "mine", "at": {1}})
    correlation_id.reset(token)
    line = line_of(capsys)
    assert line.pop("time", "")
    assert line == {
        "level": "warning", "plugin": "clock", "event": "struck 12", "correlation_id": "c-1", "hour": 12, "at": [1],
    }  # fmt: skip


def test_a_line_for_people_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info", "human")
    token = correlation_id.set("c-1")
    logging.getLogger("tta.clock").warning("struck %d", 12, extra={"hour": 12})
    correlation_id.reset(token)
    assert capsys.readouterr().err[9:] == "WARNING  clock: struck 12 hour=12 [c-1]\n"


def test_the_level_counts(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("warning", "human")
    logging.getLogger("tta.clock").info("struck")
    assert capsys.readouterr().err == ""


def test_no_secret_is_in_a_message_a_traceback_or_an_extra_field(capsys: pytest.CaptureFixture[str], form: str) -> None:
    logs.setup("info", form, SECRETS)  # type: ignore[arg-type]  # the fixture's type is str
    log = logging.getLogger("tta.clock")
    for secret in (*SECRETS, URL):
        log.info("with %s and %r", secret, [secret], extra={"given": secret, "listed": [{"a": secret}]})
        try:
            raise ValueError(secret)
        except ValueError:
            log.exception("raised", stack_info=True)
    said = capsys.readouterr().err
    for part in ("hunter2", "ss\\wö", "ss\\\\wö", "sw0rdfish"):
        assert part not in said
    assert "<redacted>" in said
    assert "db.example.org" in said
    assert "ValueError" in said
    if form == "json":
        assert all(json.loads(line) for line in said.splitlines())


def test_a_password_with_odd_characters_in_a_url_is_not_shown(capsys: pytest.CaptureFixture[str], form: str) -> None:
    logs.setup("info", form)  # type: ignore[arg-type]  # the fixture's type is str
    logging.getLogger("tta.clock").info("at db://me:sw@rd/fish@db.example.org/0, twice")
    said = capsys.readouterr().err
    assert "@db.example.org/0, twice" in said
    assert not any(part in said for part in ("sw@", "rd/", "fish"))


def test_a_secret_that_comes_later_is_hidden_too(capsys: pytest.CaptureFixture[str], form: str) -> None:
    secrets = {"hunter2"}
    logs.setup("info", form, secrets)  # type: ignore[arg-type]  # the fixture's type is str
    secrets.add("sw0rdfish")
    logging.getLogger("tta.clock").info("hunter2, sw0rdfish")
    assert "<redacted>, <redacted>" in capsys.readouterr().err


PROGRAM = "import logging; from tta_program import logs; logs.setup(); logging.getLogger('tta.clock').info('struck')"


def test_on_a_terminal_the_log_is_for_people_and_else_for_machines() -> None:
    command = [sys.executable, "-c", PROGRAM]
    piped = subprocess.run(command, stderr=subprocess.PIPE, check=True)
    assert json.loads(piped.stderr)["event"] == "struck"
    terminal, end = pty.openpty()
    subprocess.run(command, stderr=end, check=True)
    os.close(end)
    assert os.read(terminal, 1000).decode().strip().endswith("INFO     clock: struck")
    os.close(terminal)
