"""Workflows that are started by the clock: cron and intervals, exactly once per due time."""

from __future__ import annotations

from .local import SchedulesLocal, SchedulesMemory
from .model import (
    Asked,
    Backfill,
    CatchUp,
    Configured,
    Entry,
    Firing,
    Overlap,
    Page,
    Record,
    Schedule,
    ScheduleFired,
    ScheduleMissed,
)
from .plugin import Config, SchedulesPlugin
from .schedules import SCHEDULES, ScheduleRefused, Schedules
from .store import (
    HISTORY,
    SCHEDULE_STORE,
    Changed,
    Lease,
    NotHeld,
    ScheduleStore,
    ScheduleStoreError,
    TooMany,
)  # fmt: skip
from .timing import Timing, timing_of

__all__ = [
    "HISTORY", "SCHEDULES", "SCHEDULE_STORE", "Asked", "Backfill", "CatchUp", "Changed", "Config", "Configured",
    "Entry", "Firing", "Lease", "NotHeld", "Overlap", "Page", "Record", "Schedule",
    "ScheduleFired", "ScheduleMissed", "ScheduleRefused", "ScheduleStore", "ScheduleStoreError", "Schedules",
    "SchedulesLocal", "SchedulesMemory", "SchedulesPlugin", "Timing", "TooMany", "timing_of",
]  # fmt: skip
