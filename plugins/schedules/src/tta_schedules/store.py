"""Where schedules are kept, and how any implementation of it is held to its word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast, get_type_hints

from tta_kernel import Service
from tta_kernel.shapes import fits
from tta_messages.guard import Check, Guarded
from tta_workflows.journal import Lease

from .model import Entry, Page, Record

__all__ = [
    "HISTORY", "SCHEDULE_STORE", "Changed", "Lease", "NotHeld", "ScheduleStore", "ScheduleStoreError", "TooMany",
    "guard",
]  # fmt: skip

CALL_LIMIT = 15.0
"""How long, in seconds, any call may take beyond what it may wait: no client of a store waits for so long itself."""
HISTORY = 100
"""How many records of a schedule are kept; the newest."""


class ScheduleStoreError(Exception):
    """The store can't be reached, or is late: what was asked may have been done or not. Ask the same again."""


class Changed(ScheduleStoreError):
    """Somebody else has changed the schedule, or it is gone: nothing was stored. Look again."""


class NotHeld(ScheduleStoreError):
    """Another process fires schedules by now: nothing was stored."""


class TooMany(ScheduleStoreError):
    """There are as many schedules as may be: nothing was stored."""


class ScheduleStore(Protocol):
    """Schedules by name; ``durable``: another process finds them. Any call may raise `ScheduleStoreError`."""

    durable: bool

    async def hold(self, process: str, ttl: float, held: Lease | None = None) -> Lease | None:
        """Take the one lease, or renew ``held``, for ``ttl`` seconds by the store's clock; None where another has it.

        What is over can't be renewed: then it is taken anew, with another token, unless another process was quicker.
        """

    async def leave(self, lease: Lease) -> None:
        """Give the lease up, for anybody to take at once."""

    async def put(self, entry: Entry, records: Sequence[Record] = (), *, lease: Lease | None = None) -> Entry:
        """Store a schedule whose stored version is ``entry.version``, 0 for none; return it with the next version.

        ``records`` are added to its history. One that has ended goes by itself after some time. With ``lease`` it is
        stored only while that holds. Raises `Changed`, `NotHeld` and `TooMany`; then nothing was stored.
        """

    async def get(self, name: str) -> Entry | None:
        """Return a schedule; None also for one that can't be read, which is set aside."""

    async def due(self, now: float, most: int) -> Sequence[Entry]:
        """Return schedules to be looked at up to ``now``, by their ``wake``."""

    async def wake(self, now: float) -> float | None:
        """Return the first ``wake`` later than ``now``, None where there is none."""

    async def page(self, cursor: str = "", most: int = 100) -> Page:
        """Return schedules by name, after a page's cursor."""

    async def history(self, name: str, most: int = HISTORY) -> Sequence[Record]:
        """Return what has become of a schedule's due times, the newest first; also of one that is gone."""

    async def remove(self, entry: Entry) -> None:
        """Delete a schedule of that version, or raise `Changed`; its history stays for some time, if it is nobody's."""

    async def changed(self, *, wait: float) -> None:
        """Return when somebody without the lease has changed something, or has left it, or after ``wait`` seconds.

        It may return earlier.
        """

    async def forget(self, owner: str) -> int:
        """Delete a person's schedules with their history, and return how many there were; nobody ("") has none."""


SCHEDULE_STORE = Service[ScheduleStore]("schedule-store")
"""The memory of schedules."""


def guard(store: ScheduleStore, *, limit: float = CALL_LIMIT) -> ScheduleStore:
    """Return ``store`` such that each call ends within ``limit`` seconds, rightly or with a `ScheduleStoreError`.

    So whoever holds one treats a store that is broken as one that is away, and goes on with all else. What it returns
    has the calls, and not ``durable``.
    """
    return cast(
        ScheduleStore, store if isinstance(store, Guarded) else Guarded(store, _CHECKS, ScheduleStoreError, limit)
    )


def _check_of(wanted: Any) -> Check:
    return lambda answer, *_: fits(answer, wanted)


_CHECKS: Mapping[str, Check] = {
    name: _check_of(get_type_hints(method)["return"])
    for name, method in vars(ScheduleStore).items()
    if not name.startswith("_")
}
