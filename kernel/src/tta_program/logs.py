"""Structured logs: for people on a terminal, as JSON lines otherwise; secrets never in either."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Literal

import msgspec

from tta_kernel import correlation_id

from .secrets import REDACTED, mask

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Formatter(logging.Formatter):
    def __init__(self, form: str, secrets: Collection[str]) -> None:
        super().__init__()
        self._json, self._secrets = form == "json", secrets
        self._known, self._pattern = 0, re.compile("(?!)")

    def format(self, record: logging.LogRecord) -> str:
        now = datetime.fromtimestamp(record.created, UTC)
        plugin, event = record.name.removeprefix("tta."), super().format(record)
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        correlation = correlation_id.get()
        if not self._json:
            more = "".join(f" {key}={value}" for key, value in extra.items())
            more += f" [{correlation}]" if correlation else ""
            return self._redact(f"{now:%H:%M:%S} {record.levelname:8} {plugin}: {event}{more}")
        line = {"time": now.isoformat(), "level": record.levelname.lower(), "plugin": plugin, "event": event}
        line["correlation_id"] = correlation
        return self._redact(msgspec.json.encode(line | extra | line, enc_hook=repr).decode())

    def _redact(self, line: str) -> str:
        if len(self._secrets) != self._known:  # A reload adds some.
            self._known = len(self._secrets)
            plain = {text for secret in self._secrets if len(secret) > 3 for text in (secret, repr(secret)[1:-1])}
            forms = plain | {msgspec.json.encode(text).decode()[1:-1] for text in plain}
            self._pattern = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))) or "(?!)")
        return mask(self._pattern.sub(REDACTED, line))


def setup(level: str = "info", form: Literal["auto", "human", "json"] = "auto", secrets: Collection[str] = ()) -> None:
    """Send the log to standard error, without ``secrets`` and passwords in URLs; the set of them may grow."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(form if form != "auto" else "human" if sys.stderr.isatty() else "json", secrets))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
