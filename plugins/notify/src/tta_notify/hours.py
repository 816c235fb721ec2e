"""When somebody works: ``mon-fri 08:00-18:00, sat 10:00-14:00``, in their own time zone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS: Sequence[str] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PART = re.compile(r"(?P<first>[a-z]{3})(-(?P<last>[a-z]{3}))? (?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d)")


class Hours:
    """Parts of a week; without any, somebody works always."""

    def __init__(self, text: str = "", zone: str = "UTC") -> None:
        """Raise a ValueError for what can't be read, and for an unknown zone."""
        try:
            self._zone = ZoneInfo(zone)
        except (KeyError, OSError) as exc:
            raise ValueError(f"there is no time zone {zone!r}; write it like 'Europe/Berlin'") from exc
        self._parts = [part for each in text.split(",") if each.strip() for part in _parts(each.strip().lower())]

    def opens(self, at: float) -> float:
        """Return the first time from ``at`` on at which they work: seconds since the epoch."""
        if not self._parts:
            return at
        now = datetime.fromtimestamp(at, self._zone)
        # Eight days, since what began yesterday may last beyond midnight, and the next may be today in a week.
        begins = []
        for ahead in range(-1, 8):
            day = (now + timedelta(days=ahead)).date()
            for weekday, begin, end in self._parts:
                if day.weekday() != weekday:
                    continue
                opened = datetime.combine(day, begin, self._zone).timestamp()
                closes = day if end > begin else day + timedelta(days=1)
                if opened <= at < datetime.combine(closes, end, self._zone).timestamp():
                    return at
                if opened > at:
                    begins.append(opened)
        return min(begins)


def _parts(text: str) -> Iterator[tuple[int, time, time]]:
    match = _PART.fullmatch(text)
    if match is None or match["first"] not in DAYS or (match["last"] or "mon") not in DAYS:
        raise ValueError(f"hours read like 'mon-fri 08:00-18:00, sat 10:00-14:00', and not {text!r}")
    try:
        begin, end = time.fromisoformat(match["begin"]), time.fromisoformat(match["end"])
    except ValueError as exc:
        raise ValueError(f"{text!r} holds no time of a day") from exc
    first = DAYS.index(match["first"])
    count = (DAYS.index(match["last"]) - first) % 7 if match["last"] else 0
    for number in range(count + 1):
        yield (first + number) % 7, begin, end
