"""Structured logs: for people on a terminal, as JSON lines otherwise; secrets never in either, nor in a host's own."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from copy import copy
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote, quote_plus

import anyio
import msgspec

from tta_kernel import as_failure, correlation_id

from .output import CONTROL, encodable
from .secrets import REDACTED, hide_known, mask

log = logging.getLogger("tta.kernel")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_NOTHING = re.compile("(?!)")
PAUSE = 1.0
"""Seconds between two looks at who has set the log up."""
_LONGEST = 100_000
"""How many characters of a record are told."""
_MARGIN = 1000
"""More than a secret has: what is cut there is thrown away."""
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Redactor:
    """Hides ``secrets`` in a text, as they are, as Python, JSON and URLs show them, passwords in URLs, keys and tokens.

    The collection may grow, as ``kernel.secrets`` does at a reload. What has up to three characters stays: to hide
    it would hide half the log.
    """

    def __init__(self, secrets: Collection[str] = ()) -> None:
        self._secrets = secrets
        self._known = 0
        """How many secrets the pattern stands for."""
        self._pattern = _NOTHING

    def __call__(self, text: str) -> str:
        if len(self._secrets) != self._known:
            # In one step, since another thread may be adding to it.
            secrets = tuple(self._secrets)
            self._pattern = _pattern(secrets)
            self._known = len(secrets)
        return hide_known(mask(self._pattern.sub(REDACTED, text)))

    def value(self, value: Any) -> Any:
        """Return a record's field: as it is, unless that shows a secret or can't be shown; then as text."""
        for show in (str, repr):
            shown = _shown(show, value)
            hidden = self(shown)
            if hidden != shown or shown == _unshowable(value):
                return hidden
        return value


class RedactingFilter(logging.Filter):
    """Takes the secrets out of the records of a host's handler: ``handler.addFilter(RedactingFilter(secrets))``.

    The record that the handler formats has its text, its traceback and its extra fields as text that shows no
    secret; its arguments and its exception are gone. It never raises, and keeps no record back. Before Python
    3.12 the handlers that come after it get the same record.
    """

    def __init__(self, secrets: Collection[str] = (), name: str = "") -> None:
        super().__init__(name)
        self._redact = Redactor(secrets)

    def filter(self, record: logging.LogRecord) -> Any:  # a bool, and since 3.12 also a record
        """Return whether the record is wanted, or the record that is to be handled in its place."""
        if not super().filter(record):
            return False
        fresh = copy(record) if sys.version_info >= (3, 12) else record
        redact = self._redact
        fresh.msg, fresh.args = redact(_escaped(_message(record))), None
        if record.exc_info and not record.exc_text:
            fresh.exc_text = _shown(logging.Formatter().formatException, record.exc_info)
        fresh.exc_info = None
        fresh.exc_text = fresh.exc_text and redact(_escaped(fresh.exc_text))
        fresh.stack_info = fresh.stack_info and redact(_escaped(fresh.stack_info))
        for key, value in _extra(record).items():
            vars(fresh)[key] = redact.value(value)
        return fresh if fresh is not record else True


class RedactingFormatter(logging.Formatter):
    """Formats as a host likes it, with a format or with a formatter of its own (``inner``), and then hides secrets.

    It never raises: a record that can't be formatted is one line that says so, without its arguments.
    """

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        validate: bool = True,
        *,
        defaults: Mapping[str, Any] | None = None,
        inner: logging.Formatter | None = None,
        secrets: Collection[str] = (),
    ) -> None:
        super().__init__(fmt, datefmt, style, validate, defaults=defaults)
        self._inner = inner
        self._redact = Redactor(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """Return the formatted record without secrets."""
        try:
            line = self._format(record)
        except BaseException as exc:  # noqa: BLE001 - whatever the record holds; `as_failure` raises what must go on
            line = self._told(record, _one_line(f"{_message(record)} ({_unshown(exc)})"))
        return self._redact(_SURROGATE.sub(_escape, line))

    def _format(self, record: logging.LogRecord) -> str:
        return self._inner.format(record) if self._inner else super().format(record)

    def _told(self, record: logging.LogRecord, event: str) -> str:
        """Return the line for a record that can't be formatted."""
        return f"{record.levelname} {record.name}: {event}"


class _Formatter(RedactingFormatter):
    """Formats as `setup` has it."""

    def __init__(self, form: str, secrets: Collection[str]) -> None:
        super().__init__(secrets=secrets)
        self._json = form == "json"

    def _format(self, record: logging.LogRecord) -> str:
        plain = copy(record)
        plain.msg, plain.args = _message(record), None
        return self._told(record, _escaped(self._short(logging.Formatter.format(self, plain))))

    def _short(self, text: str) -> str:
        """Leave out the middle of what would hold up everybody: a message of megabytes, a chain of thousands."""
        if len(text) <= _LONGEST:
            return text
        # Hidden before it is cut, for half a secret wouldn't be found.
        half = _LONGEST // 2
        first = self._redact(text[: half + _MARGIN])[:-_MARGIN]
        last = self._redact(text[-half - _MARGIN :])[_MARGIN:]
        return f"{first}\n… ({len(text) - _LONGEST} characters are left out) …\n{last}"

    def _told(self, record: logging.LogRecord, event: str) -> str:
        now = datetime.fromtimestamp(record.created, UTC)
        plugin = record.name.removeprefix("tta.")
        extra = _extra(record)
        correlation = correlation_id.get()
        if not self._json:
            more = "".join(f" {_one_line(key)}={_one_line(_shown(str, value))}" for key, value in extra.items())
            if correlation:
                more += f" [{correlation}]"
            return f"{now:%H:%M:%S} {record.levelname:8} {plugin}: {event}{more}"
        line: dict[str, Any] = {
            "time": now.isoformat(),
            "level": record.levelname.lower(),
            "plugin": plugin,
            "event": event,
            "correlation_id": correlation,
        }
        fields = {_one_line(str(key)): _encoded(value) for key, value in extra.items()}
        # Twice, so that our keys come first, and no extra one of their name replaces them.
        whole = line | fields | line
        return msgspec.json.encode(encodable(whole)).decode()


class _Handler(logging.StreamHandler[Any]):
    """Writes to standard error, and leaves it where that can't be written: `logging` would show the raw arguments."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - its name in `logging`
        """Let a line go that nobody can read."""


def _message(record: logging.LogRecord) -> str:
    """Return a record's text; where it can't be formatted, as it was written, without the arguments."""
    try:
        return str(record.getMessage())
    except BaseException as exc:  # noqa: BLE001 - of the arguments' making; `as_failure` raises what must go on
        template = record.msg if isinstance(record.msg, str) else f"a {type(record.msg).__name__}"
        return f"{template} ({_unshown(exc)})"


def _unshown(exc: BaseException) -> str:
    return f"it can't be shown in full: {type(as_failure(exc)).__name__}"


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _shown(show: Callable[[Any], str], value: Any) -> str:
    """Return how a value shows itself, or what it is where it can't."""
    try:
        return show(value)
    except BaseException as exc:  # noqa: BLE001 - a stranger's `repr`; `as_failure` raises what must go on
        as_failure(exc)
        return _unshowable(value)


def _unshowable(value: Any) -> str:
    return f"<a {type(value).__name__} that can't be shown>"


def _encoded(value: Any) -> Any:
    """Return what JSON can hold of a field: the field itself where all of it can be encoded, else as text."""
    try:
        return msgspec.Raw(msgspec.json.encode(encodable(value), enc_hook=repr))
    except BaseException as exc:  # noqa: BLE001 - it has a circle in it, or a `repr` that raises
        as_failure(exc)
        return _shown(repr, value)


def _escaped(text: str) -> str:
    return CONTROL.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()


def _one_line(text: Any) -> str:
    return _escaped(str(text)).replace("\n", "\\n")


def _pattern(secrets: Collection[str]) -> re.Pattern[str]:
    forms: set[str] = set()
    for secret in secrets:
        if len(secret) > 3:
            for text in _shapes(secret):
                forms |= {text, msgspec.json.encode(encodable(text)).decode()[1:-1]}
    if not forms:
        return _NOTHING
    # The longest first: one secret may hold another.
    return re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))))


class Log:
    """The log of the process as `setup` has made it, and kept so, whatever plugins make of it."""

    def __init__(self, handler: logging.Handler, level: str) -> None:
        self._handler = handler
        self._level = level

    async def keep(self) -> None:
        """Look again and again."""
        while True:
            self.look()
            await anyio.sleep(PAUSE)

    def look(self) -> None:
        """Put the log back where a plugin, or a library of its own, has set it up anew, or has switched loggers off."""
        # What `logging.config` does to the loggers that it isn't told of.
        for name, logger in [*logging.root.manager.loggerDict.items()]:
            if name.startswith("tta.") and isinstance(logger, logging.Logger):
                logger.disabled = False
        if self._handler not in logging.root.handlers:
            self._put_back()
            logging.getLogger("tta.kernel").warning("code of a plugin has set the log up anew: it is put back")

    def _put_back(self) -> None:
        for other in [*logging.root.handlers]:
            # Others, such as one that sends records elsewhere, are welcome beside it.
            if isinstance(other, logging.StreamHandler) and not isinstance(other, logging.FileHandler):
                logging.root.removeHandler(other)
        logging.root.addHandler(self._handler)
        logging.root.setLevel(self._level)


def _records(redact: Redactor) -> type[logging.LogRecord]:
    """Make the class of records that hide secrets themselves, whichever handler of a plugin's shows them."""

    class Record(logging.LogRecord):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            if self.exc_info:
                # A formatter takes the text that it finds here.
                self.exc_text = redact(_shown(logging.Formatter().formatException, self.exc_info))
            self.stack_info = self.stack_info and redact(self.stack_info)

        def getMessage(self) -> str:  # noqa: N802 - its name in `logging`
            return redact(super().getMessage())

    return Record


def _shapes(secret: str) -> set[str]:
    """Return a secret as logs show it: by ``%s`` and ``%r``, in bytes, in JSON, and in a URL."""
    whole = encodable(secret)
    quoted = {quote(whole), quote(whole, safe=""), quote_plus(whole)}
    shown = {repr(secret)[1:-1], ascii(secret)[1:-1], repr(whole.encode())[2:-1], json.dumps(secret)[1:-1]}
    return {secret, _escaped(secret), *shown, *quoted}


def catch_the_rest() -> None:
    """Send to the log what Python itself writes to standard error, where it would show secrets: for a whole process.

    That is warnings, what ends a thread or the program, and what is raised where nobody can catch it.
    """
    logging.captureWarnings(capture=True)
    threading.excepthook = _thread_failed
    sys.unraisablehook = _ignored
    sys.excepthook = _failed


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_type is not SystemExit and failed.exc_value is not None:
        name = failed.thread.name if failed.thread else "?"
        log.error("thread %r failed", name, exc_info=failed.exc_value)


def _ignored(ignored: sys.UnraisableHookArgs) -> None:
    if ignored.exc_value is not None:
        where = getattr(ignored.object, "__qualname__", type(ignored.object).__name__)
        log.error(
            "%s in %s", ignored.err_msg or "nobody could catch what was raised", where, exc_info=ignored.exc_value
        )


def _failed(kind: type[BaseException], exc: BaseException, trace: object) -> None:
    log.critical("tta failed", exc_info=exc)


def setup(level: str = "info", form: Literal["auto", "human", "json"] = "auto", secrets: Collection[str] = ()) -> Log:
    """Send the log to standard error, without ``secrets`` and passwords in URLs; the set of them may grow."""
    if form == "auto":
        form = "human" if sys.stderr.isatty() else "json"
    handler = _Handler()
    handler.setFormatter(_Formatter(form, secrets))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.setLogRecordFactory(_records(Redactor(secrets)))
    return Log(handler, level.upper())
