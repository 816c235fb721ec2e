"""Structured logs: for people on a terminal, as JSON lines otherwise; secrets never in either."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Literal

import msgspec

from .events import correlation_id

_URL_PASSWORD = re.compile(r"(?<=://)([^\s/@:]*):[^\s/@]+@")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Formatter(logging.Formatter):
    def __init__(self, form: str, secrets: Collection[str]) -> None:
        super().__init__()
        self._json = form == "json"
        self._secrets = sorted((s for s in secrets if len(s) > 3), key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        now = datetime.fromtimestamp(record.created, UTC)
        plugin = record.name.removeprefix("tta.")
        event = record.getMessage()
        if record.exc_info:
            event += "\n" + self.formatException(record.exc_info)
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        correlation = correlation_id.get()
        if not self._json:
            more = "".join(f" {key}={value}" for key, value in extra.items())
            more += f" [{correlation}]" if correlation else ""
            return self._redact(f"{now:%H:%M:%S} {record.levelname:8} {plugin}: {event}{more}")
        line = {
            "time": now.isoformat(),
            "level": record.levelname.lower(),
            "plugin": plugin,
            "event": event,
            "correlation_id": correlation,
            **extra,
        }
        return self._redact(msgspec.json.encode(line, enc_hook=repr).decode())

    def _redact(self, line: str) -> str:
        for secret in self._secrets:
            line = line.replace(secret, "<redacted>")
        return _URL_PASSWORD.sub(r"\1:<redacted>@", line)


def setup(level: str = "info", form: Literal["auto", "human", "json"] = "auto", secrets: Collection[str] = ()) -> None:
    """Send the log to standard error, without ``secrets`` and passwords in URLs."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(form if form != "auto" else "human" if sys.stderr.isatty() else "json", secrets))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
