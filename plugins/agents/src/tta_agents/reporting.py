"""Asking whoever registered an agent how it is now."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec

from tta_kernel import as_failure, raised_at

from .model import AgentCard, Report


def report_of(card: AgentCard, report: Callable[[], Report] | None, log: logging.Logger) -> Report:
    """Return what ``report`` says; where it fails, or says something else, what was registered."""
    if report is None:
        return Report(card)
    try:
        said: Any = report()
    except BaseException as exc:  # noqa: BLE001 - a stranger's code
        as_failure(exc)  # It goes on where somebody of ours asked for it.
        what, where = type(exc).__name__, raised_at(exc)
        log.warning("agent %s doesn't say how it is: its report raised %s at %s", card.id, what, where)
        return Report(card)
    if not isinstance(said, Report):
        why = f"is {type(said).__name__}, and no Report"
    elif not _can_travel(said):
        why = "can't be sent"
    elif said.card.id != card.id:
        why = "is another agent's"
    else:
        return said
    log.warning("agent %s doesn't say how it is: its report %s", card.id, why)
    return Report(card)


def _can_travel(report: Report) -> bool:
    """Read it as whoever gets it will: nothing is checked when a Struct is built."""
    try:
        msgspec.msgpack.decode(msgspec.msgpack.encode(report), type=Report)
    except (msgspec.ValidationError, TypeError, ValueError, OverflowError, RecursionError):
        return False
    return True
