"""When a schedule is due: cron expressions and intervals, in a time zone whose clocks are set twice a year."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from tta_kernel import LONGEST

from .model import Schedule

_ALIASES = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_VALUE = r"(?:[0-9]{1,2}|[A-Z]{3})"
_PART = rf"(?:\*|{_VALUE}(?:-{_VALUE})?)(?:/[0-9]{{1,3}})?"
_FIELD = re.compile(rf"{_PART}(?:,{_PART})*")
_STEP = re.compile("/([0-9]+)")
_DAY = re.compile(rf"LW?|{_FIELD.pattern}")
_WEEKDAY = re.compile(rf"[0-7]L|{_VALUE}#[1-5]|{_FIELD.pattern}")
_CHARACTERS = 200
_LOCAL = frozenset({"localtime", "posixrules", "Factory"})
"""Files beside those of time zones, which mean something else on each machine."""
_VALUES = {"minute": 60, "hour": 24, "day of the month": 31, "month": 12, "day of the week": 7}
_SAMPLES = 50
"""So many due times of an expression are looked at to find out how close they lie."""
LATEST = datetime(9000, 1, 1, tzinfo=UTC).timestamp()
"""Nothing is due later: dates end with the year 9999, and the next due time may lie decades ahead."""
_EARLIEST = datetime(2, 1, 1, tzinfo=UTC).timestamp()
"""Nothing is looked for earlier: in some zones the year 1 begins before there are dates."""
SHORTEST = 1.0
"""The least interval, in seconds."""


class Timing:
    """The due times of one schedule, in seconds since the epoch, rising; raises a ValueError for what is no timing.

    A cron expression names times of the wall clock. One that a change of the clocks leaves out is due once, right after
    the gap, together with whatever else is due then; one that comes twice is due the first time.
    """

    def __init__(
        self, cron: str = "", every: float = 0.0, zone: str = "UTC", *, start: datetime | None = None,
        end: datetime | None = None, jitter: float = 0.0,
    ) -> None:  # fmt: skip
        if bool(cron) == bool(every):
            raise ValueError("needs either `cron` or `every`")
        if every and not SHORTEST <= every <= LONGEST:
            raise ValueError(f"`every` is at least {SHORTEST:g} s, not {every:g}")
        self._zone, self._every = _zone(zone), every
        # To the millisecond, as all due times are: the first is due at `start` itself, and not just before it.
        self._start = round(start.timestamp(), 3) if start else 0.0
        self._end = min(round(end.timestamp(), 3), LATEST) if end else LATEST
        if self._end < self._start:
            raise ValueError("`end` lies before `start`")
        self._cron = _expression(cron) if cron else ""
        if jitter and jitter > (closest := self._closest()):
            raise ValueError(f"`jitter` is at most the least time between two due times, {closest:g} s")

    def after(self, time: float) -> float | None:
        """Return the first due time later than ``time``, or None where there is none."""
        return next(self.since(time), None)

    def since(self, time: float) -> Iterator[float]:
        """Return all due times later than ``time``."""
        time = max(time, _EARLIEST)
        # What is due at `start` itself counts.
        time = max(time, math.nextafter(self._start, -math.inf)) if self._start else time
        for due in self._intervals(time) if self._every else self._walls(time):
            if due > self._end:
                return
            yield due

    def last(self, time: float) -> float | None:
        """Return the last due time up to ``time``, or None where there is none."""
        time = min(time, self._end)
        if time < self._start:
            return None
        if self._every:
            # A product that was rounded may be divided into a hair less than its factor: so one more is looked at.
            number = math.floor((time - self._start) / self._every) + 1
            due = self._interval(number)
            return due if due <= time else self._interval(number - 1)
        before = next((due for due in self._walls_before(time) if due <= time), None)
        # Not by going on to one that suits: before `start` that would be back to the year 1.
        return before if before is not None and before >= self._start else None

    def _intervals(self, time: float) -> Iterator[float]:
        number = math.floor((time - self._start) / self._every)
        while True:
            due = self._interval(number)
            if due > time:
                yield due
            number += 1

    def _interval(self, number: int) -> float:
        # By a product and not a sum: what is rounded would add up.
        return round(self._start + number * self._every, 3)

    def _walls(self, time: float) -> Iterator[float]:
        """Walk forward over the wall clock; what comes twice, and what a gap has put together, is due once."""
        due = time
        if time >= LATEST:
            return
        for wall in CronSim(self._cron, self._wall(time)):
            at = self._instant(wall)
            if at > due:
                due = at
                yield due

    def _walls_before(self, time: float) -> Iterator[float]:
        begin = datetime.fromtimestamp(time, self._zone)
        wall = begin.replace(tzinfo=None)
        if begin.fold:
            # Where the clock shows a time again, all that it showed in between lies behind, too.
            first, second = begin.replace(fold=0).utcoffset(), begin.utcoffset()
            assert first is not None
            assert second is not None
            wall += first - second
        # It goes back from there, and the time itself may be one.
        for each in CronSim(self._cron, wall.replace(microsecond=0) + timedelta(seconds=1), reverse=True):
            yield self._instant(each)

    def _wall(self, time: float) -> datetime:
        return datetime.fromtimestamp(math.floor(time), self._zone).replace(tzinfo=None)

    def _instant(self, wall: datetime) -> float:
        """Return when the wall clock shows a time first, or the end of the gap that leaves it out."""
        local = wall.replace(tzinfo=self._zone)
        instant = local.timestamp()
        if self._wall(instant) == wall:
            return instant
        # The two readings of a time in a gap lie before and after its end.
        before, after = sorted((int(instant), int(local.replace(fold=1).timestamp())))
        while before < after:
            middle = (before + after) // 2
            if self._wall(middle) > wall:
                after = middle
            else:
                before = middle + 1
        return float(after)

    def _closest(self) -> float:
        if self._every:
            return self._every
        # In UTC: where the clocks change, two due times may lie closer for once.
        walls = [wall for wall, _ in zip(CronSim(self._cron, datetime(2024, 1, 1, tzinfo=UTC)), range(_SAMPLES))]  # noqa: B905 - one has no end
        return min(((b - a).total_seconds() for a, b in pairwise(walls)), default=86400.0)


def timing_of(schedule: Schedule) -> Timing:
    """Return a schedule's due times; raise a ValueError that says what is wrong with them."""
    return _timing(
        schedule.cron, schedule.every, schedule.zone, start=schedule.start, end=schedule.end, jitter=schedule.jitter
    )  # fmt: skip


_timing = lru_cache(maxsize=1024)(Timing)


def jitter(name: str, due: float, most: float) -> float:
    """Return by how much a schedule is put off at a due time, below ``most``: always the same, wherever it is asked."""
    if not most:
        return 0.0
    digest = hashlib.sha256(f"{name}\0{due:.3f}".encode()).digest()
    return most * (int.from_bytes(digest[:8], "big") / 2**64)


def due_text(due: float) -> str:
    """Return a due time as keys of runs, and people, have it."""
    moment = datetime.fromtimestamp(due, UTC)
    return moment.isoformat(timespec="milliseconds" if due % 1 else "seconds").replace("+00:00", "Z")


@lru_cache(maxsize=1024)
def _expression(text: str) -> str:
    """Return an expression as the library takes it; raise a ValueError that says what is wrong with which field."""
    if len(text) > _CHARACTERS:
        raise ValueError(f"`cron` has at most {_CHARACTERS} characters")
    fields = _ALIASES.get(text.strip().lower(), text).upper().split()
    if len(fields) != len(_VALUES):
        known = ", ".join(_ALIASES)
        raise ValueError(f"`cron` has five fields (minute, hour, day, month, weekday) or is one of {known}")
    for name, field, form in zip(_VALUES, fields, (_FIELD, _FIELD, _DAY, _FIELD, _WEEKDAY), strict=True):
        if not form.fullmatch(field):
            raise ValueError(f"`cron`: the {name} can't be {field!a}")
        # Steps begin anew with each hour, day, month or year: one that reaches beyond would never be made.
        if any(int(step) >= _VALUES[name] for step in _STEP.findall(field)):
            raise ValueError(f"`cron`: the {name} has no steps of {_VALUES[name]} and more; `every` has intervals")
    expression = " ".join(fields)
    try:
        next(CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as exc:
        raise ValueError(f"`cron`: {str(exc)[:1].lower()}{str(exc)[1:]}") from None
    except StopIteration:
        raise ValueError("`cron` is never due") from None
    return expression


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    if name not in _LOCAL:
        with suppress(ZoneInfoNotFoundError, ValueError, OSError):
            return ZoneInfo(name)
    raise ValueError(f"`zone`: no time zone is called {name!a:.100}, as Europe/Berlin is")
