"""What the log looks like, for people and for machines, and what is in it for nobody."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest

from tta_kernel import correlation_id
from tta_program import logs

SECRETS = ("hunter2", 'pa"ss\\wörd')
URL = "db://me:sw0rdfish@db.example.org/0"


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, factory = root.handlers[:], root.level, logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(factory)
    root.handlers[:] = handlers
    root.setLevel(level)
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            # `dictConfig` switches off all that it isn't told of, those of other tests, too.
            logger.disabled = False


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


@pytest.mark.parametrize("begin", [49_990, 50_500, 950_000])
def test_of_a_very_long_message_the_middle_is_left_out_and_no_half_secret_is_told(
    capsys: pytest.CaptureFixture[str], form: str, begin: int
) -> None:
    logs.setup("info", form, {"hunter2-hunter3"})  # type: ignore[arg-type]  # the fixture's type is str
    text = "-" * begin + "hunter2-hunter3" + "-" * (1_000_000 - begin)
    logging.getLogger("tta.clock").info("begin%send", text)
    said = capsys.readouterr().err
    assert 90_000 < len(said) < 110_000
    assert "begin" in said
    assert "end" in said
    assert "left out" in said
    assert "hunt" not in said


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


class Unshown:
    """Can't be shown."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error


def cycle() -> list[object]:
    found: list[object] = ["hunter2"]
    found.append({"again": found})
    return found


# By name, since a report would show what can't be shown.
ODD: dict[str, Callable[[], tuple[str, tuple[object, ...], dict[str, object]]]] = {
    "too few": lambda: ("%s and %s", ("hunter2",), {}),
    "too many": lambda: ("one", ("hunter2", "hunter2"), {}),
    "of another type": lambda: ("%d", ("hunter2",), {}),
    "unshown": lambda: ("%s", (Unshown(ValueError("hunter2")),), {}),
    "exits": lambda: ("%s", (Unshown(SystemExit("hunter2")),), {}),
    "cycle": lambda: ("%s", (cycle(),), {"loop": cycle()}),
    "half a letter": lambda: ("%s", ("\udc80 hunter2",), {"half": "\udc80", "\udc81": 1}),
    "unshown field": lambda: ("one", (), {"field": Unshown(ValueError("hunter2")), "in": [Unshown(SystemExit())]}),
    "large": lambda: ("one", (), {"number": 1 << 200, "nan": float("nan"), "key": {(1, 2): "hunter2"}}),
    "obeyed": lambda: ("\x1b[2J%s\r", ("\x9b1m",), {"field": "\x1b]0;hunter2\x07"}),
}


def log_odd(log: logging.Logger, odd: str) -> None:
    text, args, extra = ODD[odd]()
    log.info(text, *args, extra=extra)


@pytest.mark.parametrize("odd", list(ODD))
def test_a_record_that_cannot_be_formatted_is_one_line_without_its_arguments(
    odd: str, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    logs.setup("info", form, SECRETS)  # type: ignore[arg-type]  # the fixture's type is str
    log_odd(logging.getLogger("tta.clock"), odd)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "clock" in said
    assert "hunter2" not in said
    assert "Traceback" not in said
    assert not any(char in said for char in "\x1b\x9b\r\udc80")
    if form == "json":
        assert json.loads(said)["plugin"] == "clock"


def test_a_traceback_that_cannot_be_shown_is_none_of_the_callers(capsys: pytest.CaptureFixture[str], form: str) -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise ValueError("hunter2")

    logs.setup("info", form, SECRETS)  # type: ignore[arg-type]  # the fixture's type is str
    try:
        raise Odd
    except Odd:
        logging.getLogger("tta.clock").exception("raised")
    assert "hunter2" not in capsys.readouterr().err


def test_a_line_that_cannot_be_written_is_let_go(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", closed)
    logs.setup("info", form)  # type: ignore[arg-type]  # the fixture's type is str
    monkeypatch.setattr(sys, "stderr", said)
    logging.getLogger("tta.clock").info("with %s", "hunter2")
    assert said.getvalue() == ""


def hosts_handler(**how: Any) -> tuple[logging.Logger, io.StringIO]:
    """Make a logger with a handler of a host's own."""
    log = logging.getLogger("host.app")
    log.propagate = False
    log.setLevel(logging.INFO)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(how.get("formatter"))
    for each in how.get("filters", ()):
        handler.addFilter(each)
    log.handlers = [handler]
    return log, stream


class Lines(logging.Formatter):
    """A formatter as hosts have it, which shows whatever it finds in a record."""

    def format(self, record: logging.LogRecord) -> str:
        shown = super().format(record)
        return f"{shown} | {getattr(record, 'field', '')} | {record.args!r} | {record.exc_info!r}"


REDACTING: dict[str, Callable[[Collection[str]], dict[str, Any]]] = {
    "filter": lambda secrets: {"filters": [logs.RedactingFilter(secrets)], "formatter": Lines()},
    "format": lambda secrets: {"formatter": logs.RedactingFormatter("%(name)s: %(message)s", secrets=secrets)},
    "inner": lambda secrets: {"formatter": logs.RedactingFormatter(inner=Lines(), secrets=secrets)},
}


@pytest.fixture(params=list(REDACTING))
def redacting(request: pytest.FixtureRequest) -> Callable[[Collection[str]], tuple[logging.Logger, io.StringIO]]:
    return lambda secrets: hosts_handler(**REDACTING[request.param](secrets))


Redacting = Callable[[Collection[str]], tuple[logging.Logger, io.StringIO]]


def test_a_hosts_own_handler_shows_no_secret_either(redacting: Redacting) -> None:
    secrets = {"hunter2"}
    log, said = redacting(secrets)
    secrets.add("sw0rdfish")
    try:
        raise ValueError("hunter2")
    except ValueError:
        log.exception("with %s at %s", "sw0rdfish", URL, extra={"field": {"a": ["hunter2"]}}, stack_info=True)
    assert "with <redacted> at db://<redacted>@db.example.org/0" in said.getvalue()
    assert "ValueError" in said.getvalue()
    assert not any(secret in said.getvalue() for secret in ("hunter2", "sw0rdfish"))


@pytest.mark.parametrize("odd", list(ODD))
def test_a_hosts_own_handler_never_raises(
    odd: str,
    redacting: Redacting,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log, said = redacting(SECRETS)
    log_odd(log, odd)
    log.info("and on")
    assert "and on" in said.getvalue()
    assert said.getvalue().count("\n") == 2
    assert "hunter2" not in said.getvalue()
    assert capsys.readouterr().err == ""


def test_what_a_filter_is_given_stays_an_object_where_it_shows_no_secret() -> None:
    record = logging.makeLogRecord({"name": "host", "msg": "struck", "hour": 12, "where": {"tower": "north"}})
    found = logs.RedactingFilter(SECRETS).filter(record)
    fresh = found if isinstance(found, logging.LogRecord) else record
    assert (vars(fresh)["hour"], vars(fresh)["where"]) == (12, {"tower": "north"})
    assert logs.RedactingFilter(SECRETS, "other").filter(record) is False


CONFIG = """
import logging.config, sys
secrets = {"hunter2"}
logging.config.dictConfig({
    "version": 1,
    "filters": {"redact": {"()": "tta_program.logs.RedactingFilter", "secrets": secrets}},
    "formatters": {
        "plain": {"()": "tta_program.logs.RedactingFormatter", "fmt": "%(message)s!", "secrets": secrets},
        "class": {"class": "tta_program.logs.RedactingFormatter", "format": "%(message)s?"},
    },
    "handlers": {
        "first": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "plain"},
        "second": {
            "class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "class", "filters": ["redact"],
        },
    },
    "root": {"handlers": ["first", "second"], "level": "INFO"},
})
logging.info("with %s", "hunter2")
"""


def test_a_host_names_them_in_its_config_of_logging() -> None:
    done = subprocess.run([sys.executable, "-c", CONFIG], capture_output=True, text=True, check=True)
    assert done.stdout == "with <redacted>!\nwith <redacted>?\n"


@pytest.mark.parametrize("form", ["%(message)s", "%(levelname)s %(name)s %(message)s"])
def test_a_handler_that_a_plugin_adds_shows_no_secret_either(form: str) -> None:
    """ControlCore-Project/concore #410, pvlib #447: a library sets a handler of its own up, at once or beside ours."""
    logs.setup("info", "json", SECRETS)
    output = io.StringIO()
    logging.basicConfig(force=True, level="INFO", format=form, stream=output)
    try:
        raise ValueError(f"{SECRETS[0]} at {URL}")
    except ValueError:
        logging.getLogger("foreign").exception("with %s at %s", SECRETS[0], URL, stack_info=True)
    shown = output.getvalue()
    assert "ValueError: <redacted> at db://" in shown
    assert SECRETS[0] not in shown
    assert "sw0rdfish" not in shown


def test_a_log_that_was_set_up_anew_is_put_back(capsys: pytest.CaptureFixture[str]) -> None:
    """sqlalchemy/alembic's `fileConfig`, absl's handler: loggers switched off, the handler gone, another level."""
    log = logs.setup("info", "json")
    clock = logging.getLogger("tta.clock")
    elsewhere = logging.NullHandler()
    logging.config.dictConfig({"version": 1, "root": {"level": "ERROR", "handlers": []}})
    logging.root.addHandler(logging.StreamHandler(sys.stderr))
    logging.root.addHandler(elsewhere)
    log.look()
    clock.info("struck")
    log.look()
    told, struck = map(json.loads, capsys.readouterr().err.splitlines())
    assert told["event"] == "code of a plugin has set the log up anew: it is put back"
    assert struck["event"] == "struck"
    assert elsewhere in logging.root.handlers
