"""A store of breakers, whoever wrote it: whatever it does instead of answering is a `BreakersError`, in time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from tta_messages.guard import Check, Guarded

from .model import BreakersError, BreakerStore, Record, Records, Status, Swap

CALL_LIMIT = 15.0
"""How long, in seconds, any call may take beyond what it may wait: no client of a store waits for so long itself."""
_LARGEST = 2**53
_STATUSES = get_args(Status)


def guard_store(store: BreakerStore, *, limit: float = CALL_LIMIT) -> BreakerStore:
    """Return ``store`` such that each call ends within ``limit`` seconds, rightly or with a `BreakersError`.

    So whoever holds one treats a store that is broken as one that is away, and each process decides alone. The error
    names it, and where in it something was raised, and quotes nothing.
    """
    if isinstance(store, Guarded):
        return store
    return cast(BreakerStore, Guarded(store, _CHECKS, BreakersError, limit))


def is_record(value: Any) -> bool:
    """Look at each field that somebody counts on: nothing is checked when a Struct is built."""
    return (
        isinstance(value, Record)
        and value.status in _STATUSES
        and all(_is_number(each) for each in (value.at, value.since, value.until, value.probe_until))
        and all(_is_count(each) for each in (value.generation, value.failures, value.successes, value.opens))
        and all(_is_text(each) for each in (value.stamp, value.probe, value.reason, value.by))
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and abs(value) < _LARGEST


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < _LARGEST


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_named(answer: Any) -> bool:
    if not isinstance(answer, Mapping):
        return False
    return all(isinstance(name, str) and is_record(record) for name, record in answer.items())


def _are_records(answer: Any) -> bool:
    return isinstance(answer, Records) and _is_number(answer.now) and _are_named(answer.records)


def _answers(answer: Any, swaps: Sequence[Swap]) -> bool:
    return _are_records(answer) and all(swap.name in answer.records for swap in swaps)


_CHECKS: Mapping[str, Check] = {
    "read": _are_records,
    "swap": _answers,
    "news": lambda answer: answer is None or _are_named(answer),
}
