"""What a schedule is, how it stands, and what has become of its due times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from tta_kernel import Duration, Event, PositiveDuration

CatchUp = Literal["skip", "last", "all"]
"""What becomes of due times that are found late, since no process ran or the clock was set: none of them is fired, the
last one, or all."""
Overlap = Literal["skip", "buffer", "allow", "cancel"]
"""What becomes of a due time while the run before it goes on: it is left out; it waits, one at most; it is fired all
the same; or the run before it is cancelled."""
Moment = Annotated[datetime, Meta(tz=True)]
"""A time with its zone, such as ``2026-12-01T09:00:00+01:00``."""
Most = Annotated[int, Meta(ge=1, le=100)]
Limit = Annotated[int, Meta(ge=0, le=10**9)]


class Schedule(msgspec.Struct, frozen=True):
    """Which workflow is started when; either ``cron`` or ``every`` says when. Durations in seconds.

    ``every``: counted from ``start``, or from 1970, so that all processes agree. No due time lies before ``start`` or
    after ``end``; ``limit``: so many due times are fired (0: all). ``jitter``: each is put off by less than that, and
    always by the same. ``grace``: what is found no later than that is on time, whatever ``catch_up`` says; of what is
    found later ``all`` fires the last ``most`` due times that are no older than ``window``.
    ``owner``: the person whose data ``input`` carries; ``forget`` finds the schedule by it, and its runs.
    """

    workflow: str
    input: Mapping[str, Any] = {}
    owner: str = ""
    session: str = ""
    labels: Mapping[str, str] = {}
    cron: str = ""
    every: Duration = 0.0
    zone: str = "UTC"
    start: Moment | None = None
    end: Moment | None = None
    limit: Limit = 0
    jitter: Duration = 0.0
    overlap: Overlap = "skip"
    catch_up: CatchUp = "last"
    grace: PositiveDuration = 60.0
    window: PositiveDuration = 86400.0
    most: Most = 10


class Configured(Schedule, frozen=True, forbid_unknown_fields=True):
    """A schedule in the config, where a misspelt key is an error; it is nobody's: a person's is added at run time."""

    def schedule(self) -> Schedule:
        """Return it as it is stored."""
        return Schedule(**msgspec.structs.asdict(self))


Origin = Literal["config", "added"]
Why = Literal["due", "caught-up", "waited", "now", "backfill"]


class Firing(msgspec.Struct, frozen=True):
    """A due time that was decided to be fired: a run of this key is started, however often that has to be tried."""

    key: str
    due: float
    why: Why = "due"
    by: str = ""
    tries: int = 0


class Asked(msgspec.Struct, frozen=True):
    """Somebody wants a run now."""

    id: str
    at: float
    by: str = ""


class Backfill(msgspec.Struct, frozen=True):
    """Due times up to ``until`` that are fired again, under keys of their own; ``next`` is the first that is left."""

    id: str
    next: float
    until: float
    by: str = ""


Ended = Literal["", "end", "limit", "removed"]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it stands; times in seconds since the epoch.

    ``version`` counts the changes: whoever changes it says which one they have seen. ``next``: the next due time, None
    where there is none; ``wake``: when somebody is to look at it, None where nobody needs to. ``firing`` is being fired
    in this moment; ``waiting`` waits for the end of ``runs``.
    """

    name: str
    schedule: Schedule
    origin: Origin = "added"
    version: int = 0
    created_at: float = 0.0
    next: float | None = None
    wake: float | None = None
    paused: bool = False
    ended: Ended = ""
    fired: int = 0
    last: float | None = None
    firing: Firing | None = None
    waiting: float | None = None
    runs: tuple[str, ...] = ()
    asked: tuple[Asked, ...] = ()
    backfills: tuple[Backfill, ...] = ()


What = Literal["fired", "refused", "skipped", "missed", "paused", "resumed", "changed", "ended"]


class Record(msgspec.Struct, frozen=True):
    """What has become of a due time, or of the schedule: ids, times and codes.

    ``missed``: found too late, ``count`` of them up to ``due``. ``skipped``: the run before went on. ``refused``: no
    run could begin, and ``code`` says why.
    """

    at: float
    what: What
    due: float = 0.0
    run: str = ""
    why: str = ""
    code: str = ""
    count: int = 1
    by: str = ""


class Page(msgspec.Struct, frozen=True):
    """Some schedules, by name; an empty ``cursor`` says that there are no more."""

    entries: Sequence[Entry] = ()
    cursor: str = ""


class ScheduleFired(Event, frozen=True, tag="schedules.fired"):
    """A run was started for a due time; without an ``owner`` it concerns nobody but operators."""

    __shown__: ClassVar = ("schedule", "run", "workflow", "why")

    schedule: str
    due: float
    run: str
    workflow: str
    why: str = "due"
    session: str = ""
    owner: str = ""


class ScheduleMissed(Event, frozen=True, tag="schedules.missed"):
    """No run was started for ``count`` due times up to ``due``: found too late, the run before went on, or refused."""

    __shown__: ClassVar = ("schedule", "workflow", "why")

    schedule: str
    due: float
    workflow: str
    why: str
    count: int = 1
    session: str = ""
    owner: str = ""
