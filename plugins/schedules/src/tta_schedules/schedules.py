"""The service `SCHEDULES`: what people and plugins do with schedules, whichever process fires them."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from tta_kernel import Service, suggest
from tta_workflows.journal import Lease

from . import decide
from .model import Asked, Entry, Page, Record, Schedule
from .store import HISTORY, Changed, ScheduleStore, ScheduleStoreError
from .timing import timing_of

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
NAMES = "use letters, digits and . _ -, up to 100 of them"
LARGEST = 65_536
"""How large a schedule may be, in bytes: its input above all."""
MOST_LABELS = 20
MOST_ASKED = 10
"""So many runs that were asked for, and so many backfills, may wait to be begun."""
MOST_BACKFILL = 1000
"""How many due times one backfill may have."""
_TRIES = 10


class ScheduleRefused(Exception):
    """What was asked can't be done; it says why, in words for whoever asked."""


class Schedules:
    """Schedules of all processes that share the store; a change counts from the moment at which it is stored.

    Each call raises `ScheduleRefused` for what can't be done, and `ScheduleStoreError`. ``configured`` are those of
    this deployment's config. ``durable``: other processes see the same.
    """

    def __init__(
        self, store: ScheduleStore, *, durable: bool, configured: Mapping[str, Schedule] | None = None
    ) -> None:  # fmt: skip
        self.store, self.durable = store, durable
        self.configured: Mapping[str, Schedule] = configured or {}
        self.clock: Callable[[], float] = time.time
        self.on_configured: Callable[[], None] = lambda: None

    def configure(self, configured: Mapping[str, Schedule]) -> None:
        """Take what the config says by now; whoever fires schedules sees to it."""
        self.configured = configured
        self.on_configured()

    async def get(self, name: str) -> Entry | None:
        """Return a schedule as it stands."""
        return await self.store.get(name)

    async def page(self, cursor: str = "", most: int = 100) -> Page:
        """Return schedules by name, after a page's cursor."""
        return await self.store.page(cursor, most)

    async def history(self, name: str, most: int = HISTORY) -> Sequence[Record]:
        """Return what has become of its due times, the newest first."""
        return await self.store.history(name, most)

    async def add(self, name: str, schedule: Schedule, *, replacing: bool = False) -> Entry:
        """Begin a schedule: what is due from now on counts; with ``replacing`` it may be there already.

        One that is there and the same is left as it is, so that whoever didn't get the answer may ask again.
        """
        if wrong := unfit(name, schedule):
            raise ScheduleRefused(f"schedule {name!a:.100}: {wrong}")
        for _ in range(_TRIES):
            known = await self.store.get(name)
            now = self.clock()
            if known is None:
                new = decide.begun(name, schedule, now)
            elif known.origin == "config" and known.ended != "removed":
                raise ScheduleRefused(f"the schedule {name!r} stands in the config: change it there")
            elif known.schedule == schedule and not known.ended:
                return known
            elif not (replacing or known.ended):
                raise ScheduleRefused(f"there is another schedule called {name!r}; remove it first, or replace it")
            else:
                new = replace(decide.changed(known, schedule, now), origin="added")
            try:
                return await self.store.put(new, (Record(at=now, what="changed"),))
            except Changed:
                continue
        raise _busy(name)

    async def pause(self, name: str, *, by: str = "") -> Entry:
        """Let it fire nothing until it is resumed; what is due meanwhile is left out."""

        def change(entry: Entry, now: float) -> tuple[Entry, Record]:
            return replace(entry, paused=True, waiting=None), Record(at=now, what="paused", by=by)

        return await self._change(name, change, unless=lambda entry: entry.paused)

    async def resume(self, name: str, *, by: str = "") -> Entry:
        """Let it fire what is due from now on."""

        def change(entry: Entry, now: float) -> tuple[Entry, Record]:
            resumed = replace(entry, paused=False)
            return resumed if entry.ended else decide.going_on(resumed, now), Record(at=now, what="resumed", by=by)

        return await self._change(name, change, unless=lambda entry: not entry.paused)

    async def run(self, name: str, *, by: str = "", id: str = "") -> str:
        """Have it run once, now, also while it is paused; return the run's key. The same ``id`` is the same run."""
        id = id or secrets.token_hex(8)
        _check_id(id)

        def change(entry: Entry, now: float) -> tuple[Entry, None]:
            if len(entry.asked) >= MOST_ASKED:
                raise ScheduleRefused(f"{MOST_ASKED} runs of {name!r} were asked for, and have yet to begin")
            return replace(entry, asked=(*entry.asked, Asked(id, now, by))), None

        await self._change(name, change, unless=lambda entry: any(each.id == id for each in entry.asked))
        return f"schedule:{name}:now:{id}"

    async def backfill(self, name: str, start: datetime, end: datetime, *, by: str = "", id: str = "") -> int:
        """Fire all that was due from ``start`` to ``end``, one after the other; return how many due times those are.

        Their keys are their own: what was fired in time is fired again. The same ``id`` is the same backfill.
        """
        id = id or secrets.token_hex(4)
        _check_id(id)
        if end.timestamp() < start.timestamp():
            raise ScheduleRefused(f"the range ends before it begins: {end} lies before {start}")
        count = 0

        def change(entry: Entry, now: float) -> tuple[Entry, None]:
            nonlocal count
            wanted, count = decide.backfill(entry, id, start.timestamp(), end.timestamp(), by, MOST_BACKFILL)
            if count > MOST_BACKFILL:
                raise ScheduleRefused(
                    f"{name!r} is due more than {MOST_BACKFILL} times in that range; take a part of it"
                )
            if wanted is None:
                return entry, None
            if len(entry.backfills) >= MOST_ASKED:
                raise ScheduleRefused(f"{MOST_ASKED} backfills of {name!r} have yet to end")
            return replace(entry, backfills=(*entry.backfills, wanted)), None

        await self._change(name, change, unless=lambda entry: any(each.id == id for each in entry.backfills))
        return count

    async def remove(self, name: str) -> None:
        """End a schedule that was added at run time; runs of it go on."""
        for _ in range(_TRIES):
            entry = await self._existing(name)
            if entry.origin == "config" and entry.ended != "removed":
                raise ScheduleRefused(f"the schedule {name!r} stands in the config: take it out there, or pause it")
            try:
                return await self.store.remove(entry)
            except Changed:
                continue
        raise _busy(name)

    async def sync(self, lease: Lease) -> Sequence[str]:
        """Let the store have what the config says, and nothing else of it; return what is hidden by one added."""
        hidden = [name for name, each in self.configured.items() if await self._enter(lease, name, each) == "hidden"]
        cursor = ""
        while True:
            page = await self.store.page(cursor)
            for entry in page.entries:
                if entry.origin == "config" and entry.name not in self.configured and entry.ended != "removed":
                    await self._end(lease, entry)
            if not page.cursor:
                return hidden
            cursor = page.cursor

    async def _enter(self, lease: Lease, name: str, schedule: Schedule) -> str:
        known = await self.store.get(name)
        now = self.clock()
        if known is None:
            new = decide.begun(name, schedule, now, origin="config")
        elif known.origin == "added":
            return "hidden"
        elif known.schedule == schedule and known.ended != "removed":
            return "known"
        else:
            new = decide.changed(known, schedule, now)
        await self.store.put(new, (Record(at=now, what="changed"),), lease=lease)
        return "entered"

    async def _end(self, lease: Lease, entry: Entry) -> None:
        # What was decided to be fired may have begun: it is seen to its end.
        left = replace(entry, ended="removed", next=None, waiting=None, asked=(), backfills=())
        now = self.clock()
        left = replace(left, wake=decide.wake_of(left, now))
        await self.store.put(left, (Record(at=now, what="ended", why="removed"),), lease=lease)

    async def _change(
        self, name: str, change: Callable[[Entry, float], tuple[Entry, Record | None]], *,
        unless: Callable[[Entry], bool],
    ) -> Entry:  # fmt: skip
        """Change a schedule as it stands by now, however often others are quicker."""
        for _ in range(_TRIES):
            entry = await self._existing(name)
            if entry.ended == "removed":
                raise ScheduleRefused(f"the schedule {name!r} has been taken out of the config")
            if unless(entry):
                return entry
            now = self.clock()
            new, record = change(entry, now)
            # What is being fired keeps its time: it may have been put off.
            if entry.firing is None:
                new = replace(new, wake=decide.wake_of(new, now))
            try:
                return await self.store.put(new, (record,) if record is not None else ())
            except Changed:
                continue
        raise _busy(name)

    async def _existing(self, name: str) -> Entry:
        entry = await self.store.get(name)
        if entry is None:
            page = await self.store.page()
            raise ScheduleRefused(
                f"no schedule is called {name!r}; {suggest(name, [each.name for each in page.entries])}"
            )
        return entry


def unfit(name: str, schedule: Schedule) -> str:
    """Say what is wrong with a schedule; nothing where it can be stored and fired."""
    if not NAME.fullmatch(name):
        return f"no schedule can be called that: {NAMES}"
    if not schedule.workflow:
        return "needs a `workflow`"
    if len(schedule.labels) > MOST_LABELS:
        return f"has at most {MOST_LABELS} labels"
    try:
        # Built by hand, perhaps: what is stored must come back.
        packed = msgspec.msgpack.encode(schedule)
        msgspec.msgpack.decode(packed, type=Schedule)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as exc:
        return f"holds what can't be stored ({type(exc).__name__})"
    if len(packed) > LARGEST:
        return f"has {len(packed)} bytes; {LARGEST} are the most"
    try:
        timing_of(schedule)
    except ValueError as exc:
        return str(exc)
    return ""


def _check_id(id: str) -> None:
    if not NAME.fullmatch(id):
        raise ScheduleRefused(f"no id can be {id!a:.100}: {NAMES}")


def _busy(name: str) -> ScheduleStoreError:
    return ScheduleStoreError(f"the schedule {name!r} changes all the while; ask again")


SCHEDULES = Service[Schedules]("schedules")
"""Workflows that are started by the clock."""
