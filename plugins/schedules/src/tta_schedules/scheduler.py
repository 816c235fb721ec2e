"""Fires what is due: by whichever process holds the lease, each due time once.

A due time goes three steps. It is stored that it is fired: only the holder of the lease can, and only as the schedule
stands. Its run is started, under a key that is the due time's, so that it can be started as often as need be. And it is
stored that it has been. Whoever takes over after the first step goes on with the second, whatever its clock says.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import anyio
import msgspec
from anyio.abc import TaskGroup
from msgspec.structs import replace

from tta_kernel import Event
from tta_kernel.isolation import is_interrupt
from tta_messages import Backoff
from tta_workflows import Workflows
from tta_workflows.clock import Clock
from tta_workflows.journal import Lease

from . import decide
from .hold import Hold
from .model import Entry, Firing, Record, ScheduleFired, ScheduleMissed
from .runs import UNAVAILABLE, Runs
from .schedules import Schedules
from .store import Changed, NotHeld, ScheduleStoreError

_ONCE_MORE = (UNAVAILABLE, "overloaded")
"""Why a run can't begin now, and may later."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_TRIES = 10


class Settings(msgspec.Struct, frozen=True):
    """How a scheduler goes about it; times in seconds.

    ``poll``: how often it looks, should it not hear of a change, or the clock be set. ``at_once``: how many schedules
    it fires at a time. ``limit``: how long starting a run may take. ``grace``: how long it ends what it has begun.
    """

    lease: float = 10.0
    poll: float = 5.0
    at_once: int = 32
    limit: float = 15.0
    grace: float = 3.0


class Scheduler:
    """Fires the schedules of a store, for as long as it is `running` and this process has the lease."""

    def __init__(
        self, schedules: Schedules, workflows: Workflows, clock: Clock, *, process: str, log: logging.Logger,
        publish: Callable[[Event], None] = lambda event: None, settings: Settings | None = None,
        monotonic: Callable[[], float] = anyio.current_time,
    ) -> None:  # fmt: skip
        self.settings = settings or Settings()
        self._schedules, self._store = schedules, schedules.store
        self._clock, self._log, self._publish = clock, log, publish
        self._runs = Runs(workflows, log, self.settings.limit)
        self.hold = Hold(self._store, process, self.settings.lease, log, monotonic)
        self._working: set[str] = set()
        self._again = anyio.Event()
        """Set when there may be something to do that was not there, or not free, at the last look."""
        self._synced: tuple[Lease, object] | None = None
        """For which lease, and from which config, the store has what the config says."""
        self._interrupt: BaseException | None = None
        self.fired = self.missed = 0

    # Its life.

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Fire what is due for as long as the block; then end what was begun, and let go of the lease."""
        async with anyio.create_task_group() as tasks:
            self._tasks, looking = tasks, anyio.CancelScope()
            tasks.start_soon(self._until_interrupted, self.hold.run)
            tasks.start_soon(self._until_interrupted, self._look_until_cancelled, tasks, looking)
            try:
                yield
            finally:
                looking.cancel()
                with anyio.move_on_after(self.settings.grace, shield=True):
                    while self._working:
                        self._again = anyio.Event()
                        await self._again.wait()
                tasks.cancel_scope.cancel()
                with anyio.move_on_after(self.settings.grace, shield=True):
                    await self._leave()
        if self._interrupt is not None:
            raise self._interrupt

    async def _until_interrupted(self, func: Callable[..., Awaitable[object]], *args: object) -> None:
        """Run a task; asyncio would let an interrupt out of the event loop: stop in order, and raise it then."""
        try:
            await func(*args)
        except BaseException as exc:
            if not is_interrupt(exc):
                raise
            self._interrupt = exc
            self._tasks.cancel_scope.cancel()

    async def _leave(self) -> None:
        try:
            await self.hold.leave()
        except ScheduleStoreError as exc:
            self._log.warning("the lease on schedules is left to its end: %s", exc)

    async def _look_until_cancelled(self, workers: TaskGroup, scope: anyio.CancelScope) -> None:
        backoff = Backoff(self._log, "no schedule fires")
        with scope:
            while True:
                self._again = anyio.Event()
                until: float | None = None
                try:
                    until = await self.look(workers)
                except NotHeld:
                    self.hold.doubt()
                except Changed:
                    self._again.set()
                except ScheduleStoreError as exc:
                    await backoff.wait(exc)
                    continue
                backoff.over()
                await self._pause(until)

    async def look(self, workers: TaskGroup) -> float | None:
        """Begin to fire what is due and isn't being seen to; return when something will be due."""
        lease = self.hold.lease
        if lease is None:
            return None
        if self._synced is None or self._synced[0] != lease or self._synced[1] is not self._schedules.configured:
            await self._sync(lease)
        now = self._clock.time()
        room = self.settings.at_once - len(self._working)
        if room > 0:
            due = await self._store.due(now, self.settings.at_once + len(self._working))
            for entry in [each for each in due if each.name not in self._working][:room]:
                self._working.add(entry.name)
                workers.start_soon(self._work, lease, entry)
        return await self._store.wake(now)

    async def _sync(self, lease: Lease) -> None:
        configured = self._schedules.configured
        for name in await self._schedules.sync(lease):
            self._log.error("the schedule %s of the config isn't fired: one of that name was added at run time", name)
        self._synced = lease, configured

    async def _pause(self, until: float | None) -> None:
        """Wait for what is due next, a change, or the lease; and look every so often, since clocks are set."""
        waits: list[Callable[[], Awaitable[object]]] = [self._again.wait]
        if self.hold.lease is not None:
            waits.append(self._heard)
            if until is not None:
                waits.append(partial(self._clock.sleep_until, until))
        elif not self.hold.taken.is_set():
            waits.append(self.hold.taken.wait)
        with anyio.move_on_after(self.settings.poll):
            async with anyio.create_task_group() as tasks:
                for wait in waits:
                    tasks.start_soon(self._until_interrupted, _first, wait, tasks.cancel_scope)

    async def _heard(self) -> None:
        try:
            await self._store.changed(wait=self.settings.poll)
        except ScheduleStoreError:
            await anyio.sleep(self.settings.poll)

    def look_again(self) -> None:
        """Look soon: the config is another."""
        self._again.set()

    # One schedule.

    async def _work(self, lease: Lease, entry: Entry) -> None:
        """See to one schedule until nothing of it is due."""
        try:
            await self._until_interrupted(self._try_to_see_to, lease, entry)
        finally:
            self._working.discard(entry.name)

    async def _try_to_see_to(self, lease: Lease, entry: Entry) -> None:
        try:
            await self._see_to(lease, entry)
        except NotHeld:
            self.hold.doubt()
        except Changed:
            self._again.set()
        except ScheduleStoreError as exc:
            # It is found again at the next look, which warns if that fails, too.
            self._log.info("the schedule %s waits: %s", entry.name, exc)
        else:
            self._again.set()

    async def _see_to(self, lease: Lease, entry: Entry) -> None:
        found: Entry | None = entry
        while found is not None and self.hold.lease == lease:
            if found.firing is not None:
                found = await self._fire(lease, found, found.firing)
            else:
                found = await self._decide(lease, found)

    async def _decide(self, lease: Lease, entry: Entry) -> Entry | None:
        """Store what is to be done, and do what comes before it; return the schedule where something is left to do."""
        going = await self._runs.going(entry)
        now = self._clock.time()
        if going is None:
            await self._store.put(replace(entry, wake=now + _FIRST_PAUSE), lease=lease)
            return None
        decision = decide.decide(entry, now, going)
        if decision is None:
            return None
        for run in decision.cancel:
            await self._runs.cancel(entry, run)
        stored = await self._store.put(decision.entry, decision.records, lease=lease)
        self._tell(stored, decision.records)
        return stored if stored.wake is not None and stored.wake <= now else None

    async def _fire(self, lease: Lease, entry: Entry, firing: Firing) -> Entry | None:
        """Start the run, and store that; return the schedule as it stands then, or None where it has to wait."""
        code = await self._runs.start(entry, firing)
        if code in _ONCE_MORE:
            await self._put_off(lease, entry, firing)
            return None
        now = self._clock.time()
        what = Record(
            at=now, what="refused" if code else "fired", due=firing.due, run=firing.key, why=firing.why, code=code,
            by=firing.by,
        )  # fmt: skip
        for _ in range(_TRIES):
            runs = entry.runs
            if not code and entry.schedule.overlap != "allow":
                runs = (*runs, firing.key)[-decide.RUNS :]
            settled = replace(entry, firing=None, runs=runs)
            settled = replace(settled, wake=decide.wake_of(settled, now))
            try:
                stored = await self._store.put(settled, (what,), lease=lease)
            except Changed:
                # Somebody has paused it, or the like.
                found = await self._store.get(entry.name)
                if found is None or found.firing is None or found.firing.key != firing.key:
                    return found
                entry = found
                continue
            self._tell(stored, (what,))
            return stored
        raise ScheduleStoreError(f"the schedule {entry.name!r} changes all the while")

    async def _put_off(self, lease: Lease, entry: Entry, firing: Firing) -> None:
        """Try it again later: workflows can't be started now."""
        pause = min(_FIRST_PAUSE * 2 ** min(firing.tries, 10), _LONGEST_PAUSE)
        firing = replace(firing, tries=firing.tries + 1)
        await self._store.put(replace(entry, firing=firing, wake=self._clock.time() + pause), lease=lease)

    def _tell(self, entry: Entry, records: Sequence[Record]) -> None:
        name, schedule = entry.name, entry.schedule
        for record in records:
            if record.what == "fired":
                self.fired += 1
                fired = ScheduleFired(
                    schedule=name, due=record.due, run=record.run, workflow=schedule.workflow, why=record.why,
                    session=schedule.session, owner=schedule.owner,
                )  # fmt: skip
                self._publish(fired)
            elif record.what in ("missed", "skipped", "refused"):
                self.missed += record.count
                missed = ScheduleMissed(
                    schedule=name, due=record.due, workflow=schedule.workflow, why=record.code or record.what,
                    count=record.count, session=schedule.session, owner=schedule.owner,
                )  # fmt: skip
                self._publish(missed)


async def _first(wait: Callable[[], Awaitable[object]], scope: anyio.CancelScope) -> None:
    """End the scope once it was waited for."""
    await wait()
    scope.cancel()
