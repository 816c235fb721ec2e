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
_NOTHING = re.compile("(?!)")


class _Formatter(logging.Formatter):
    def __init__(self, form: str, secrets: Collection[str]) -> None:
        super().__init__()
        self._json = form == "json"
        self._secrets = secrets
        self._known = 0
        """How many secrets the pattern stands for."""
        self._pattern = _NOTHING

    def format(self, record: logging.LogRecord) -> str:
        now = datetime.fromtimestamp(record.created, UTC)
        plugin = record.name.removeprefix("tta.")
        event = super().format(record)
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        correlation = correlation_id.get()
        if not self._json:
            more = "".join(f" {key}={value}" for key, value in extra.items())
            if correlation:
                more += f" [{correlation}]"
            return self._redact(f"{now:%H:%M:%S} {record.levelname:8} {plugin}: {event}{more}")
        line = {
            "time": now.isoformat(),
            "level": record.levelname.lower(),
            "plugin": plugin,
            "event": event,
            "correlation_id": correlation,
        }
        # Twice, so that our keys come first, and no extra one of their name replaces them.
        whole = line | extra | line
        return self._redact(msgspec.json.encode(whole, enc_hook=repr).decode())

    def _redact(self, line: str) -> str:
        if len(self._secrets) != self._known:  # A reload adds some.
            self._known = len(self._secrets)
            self._pattern = _pattern(self._secrets)
        return mask(self._pattern.sub(REDACTED, line))


def _pattern(secrets: Collection[str]) -> re.Pattern[str]:
    """Match each secret as it is, as Python shows it, and as JSON does; short ones would hide half the log."""
    forms: set[str] = set()
    for secret in secrets:
        if len(secret) > 3:
            for text in (secret, repr(secret)[1:-1]):
                forms |= {text, msgspec.json.encode(text).decode()[1:-1]}
    if not forms:
        return _NOTHING
    # The longest first: one secret may hold another.
    return re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))))


def setup(level: str = "info", form: Literal["auto", "human", "json"] = "auto", secrets: Collection[str] = ()) -> None:
    """Send the log to standard error, without ``secrets`` and passwords in URLs; the set of them may grow."""
    if form == "auto":
        form = "human" if sys.stderr.isatty() else "json"
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(form, secrets))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
