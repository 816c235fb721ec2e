"""What becomes of a breaker by what happens: a pure function, the same in every process and for every store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec
from msgspec.structs import replace

from .model import CLOCK_SLIP, BreakerSettings, Record

Outcome = Literal["succeeded", "failed", "returned"]
"""``returned``: nobody knows how it would have gone, since the call was cancelled or refused elsewhere."""
_MOST_OPENS = 64
"""Beyond it no breaker opens for longer, and no power of `growth` is too large."""


class Counted(msgspec.Struct, frozen=True):
    """Calls of one generation: some succeeded, if ``reset``, and then so many ``failures`` came in a row."""

    at: float
    generation: int
    failures: int
    reset: bool = False


class Tripped(msgspec.Struct, frozen=True):
    """Somebody opens it; of a ``generation`` if that is still the one."""

    at: float
    reason: str
    generation: int | None = None
    by: str = ""


class Claimed(msgspec.Struct, frozen=True):
    """Somebody (``probe``) wants to make the probe."""

    at: float
    probe: str


class Settled(msgspec.Struct, frozen=True):
    """The call of whoever made the probe has ended."""

    at: float
    probe: str
    outcome: Outcome


class Reset(msgspec.Struct, frozen=True):
    """Somebody closes it."""

    at: float
    by: str = ""


Change = Counted | Tripped | Claimed | Settled | Reset


def is_due(record: Record, settings: BreakerSettings, now: float) -> bool:
    """Say whether a probe may be made.

    A time that lies further ahead than any is set was by a clock that has jumped since, and holds nobody up.
    """
    if record.status == "open":
        longest = settings.longest * (1 + settings.jitter)
        return not 0 < record.until - now <= longest + CLOCK_SLIP
    if record.status == "half_open":
        return not record.probe or not 0 < record.probe_until - now <= settings.probe + CLOCK_SLIP
    return False


def apply(record: Record, change: Change, settings: BreakerSettings, random: Callable[[], float]) -> Record:
    """Return what a breaker is after ``change``, and the same where that says nothing any more.

    ``random`` gives numbers from 0 up to 1.
    """
    match change:
        case Counted(at, generation, failures, reset):
            if record.status != "closed" or record.generation != generation:
                return record
            total = failures if reset else record.failures + failures
            if total >= settings.failures:
                counted = replace(record, failures=total)
                return _opened(counted, at, settings, random, f"{total} calls in a row have failed")
            return replace(record, failures=total) if total != record.failures else record
        case Tripped(at, reason, generation, by):
            stale = generation is not None and generation != record.generation
            if stale or record.status == "open":
                return record
            return _opened(record, at, settings, random, reason, by)
        case Claimed(at, probe):
            if not is_due(record, settings, at):
                return record
            claimed = replace(record, probe=probe, probe_until=at + settings.probe)
            if record.status == "half_open":
                return claimed
            return replace(
                claimed, status="half_open", since=at, successes=0, generation=record.generation + 1
            )  # fmt: skip
        case Settled(at, probe, outcome):
            if record.status != "half_open" or record.probe != probe:
                return record
            return _settled(record, at, outcome, settings, random)
        case Reset(at, by):
            return record if record.clean else _closed(record, at, "it was reset", by)


def apply_all(
    record: Record, changes: Iterable[Change], settings: BreakerSettings, random: Callable[[], float]
) -> Record:  # fmt: skip
    """Return what a breaker is after all of ``changes``."""
    for change in changes:
        record = apply(record, change, settings, random)
    return record


def _settled(
    record: Record, at: float, outcome: Outcome, settings: BreakerSettings, random: Callable[[], float]
) -> Record:  # fmt: skip
    free = replace(record, probe="", probe_until=0.0)
    if outcome == "returned":
        return free
    if outcome == "failed":
        return _opened(free, at, settings, random, record.reason)
    successes = record.successes + 1
    if successes < settings.successes:
        return replace(free, successes=successes)
    return _closed(record, at, "the probe succeeded")


def _opened(
    record: Record, at: float, settings: BreakerSettings, random: Callable[[], float], reason: str, by: str = ""
) -> Record:
    opens = min(record.opens + 1, _MOST_OPENS)
    seconds = min(settings.open * settings.growth ** (opens - 1), settings.longest)
    return Record(
        "open", at=record.at, stamp=record.stamp, generation=record.generation + 1, failures=record.failures,
        opens=opens, since=at, until=at + seconds * (1 + settings.jitter * random()), reason=reason, by=by,
    )  # fmt: skip


def _closed(record: Record, at: float, reason: str, by: str = "") -> Record:
    return Record(
        at=record.at, stamp=record.stamp, generation=record.generation + 1, since=at, reason=reason, by=by
    )  # fmt: skip
