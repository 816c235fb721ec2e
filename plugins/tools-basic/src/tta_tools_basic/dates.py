"""What time it is, where, and how long from one time to another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

from tta_tools import ToolError, tool

Zone = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z][A-Za-z0-9+_-]*(/[A-Za-z0-9+_-]+){0,2}$", max_length=64, description="as Europe/Vienna"),
]
When = Annotated[str, Meta(min_length=10, max_length=40, description="ISO 8601, such as 2026-03-29T02:30+01:00")]
Amount = Annotated[int, Meta(ge=-1_000_000, le=1_000_000)]
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Moment(Struct, frozen=True):
    """A time as clocks and calendars show it in a zone; ``epoch`` is in seconds since 1970."""

    iso: str
    date: str
    time: str
    weekday: str
    zone: str
    offset_minutes: int
    epoch: float


class Span(Struct, frozen=True):
    """How long it is from one time to another; less than 0 where that comes first."""

    seconds: float
    days: float


@tool(name="time.now", version="1.0.0", capabilities=("time",))
def now(zone: Zone = "UTC") -> Moment:
    """Say what time it is, in a zone."""
    return _moment(datetime.now(UTC), zone)


@tool(name="time.convert", version="1.0.0", capabilities=("time",), idempotent=True, shared=True)
def convert(when: When, zone: Zone, *, add_days: Amount = 0, add_minutes: Amount = 0) -> Moment:
    """Say what a time is in another zone, and some days and minutes later; a time without a zone is UTC.

    A day has 24 hours, also where clocks are changed.
    """
    try:
        return _moment(_parsed(when, "when") + timedelta(days=add_days, minutes=add_minutes), zone)
    except OverflowError:
        raise ToolError("invalid_arguments", "time.convert: this is outside of the years 1 to 9999") from None


@tool(name="time.between", version="1.0.0", capabilities=("time",), idempotent=True, shared=True)
def between(start: When, end: When) -> Span:
    """Say how long it is from one time to another; a time without a zone is UTC."""
    seconds = (_parsed(end, "end") - _parsed(start, "start")).total_seconds()
    return Span(seconds, seconds / 86_400)


def _parsed(when: str, path: str) -> datetime:
    try:
        found = datetime.fromisoformat(when)
    except ValueError:
        raise ToolError(
            "invalid_arguments", f"{path} is no time: it reads like 2026-03-29T02:30+01:00", path=path
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _moment(when: datetime, zone: str) -> Moment:
    local = when.astimezone(_zone(zone))
    offset = local.utcoffset() or timedelta()
    return Moment(
        iso=local.isoformat(),
        date=local.date().isoformat(),
        time=local.time().isoformat("seconds"),
        weekday=_WEEKDAYS[local.weekday()],
        zone=zone,
        offset_minutes=round(offset.total_seconds() / 60),
        epoch=local.timestamp(),
    )


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    # A folder of the database, and what isn't in it, are told apart by the system's error.
    except (OSError, ValueError, LookupError):
        raise ToolError(
            "invalid_arguments", "there is no such zone: it reads like Europe/Vienna", path="zone"
        ) from None
