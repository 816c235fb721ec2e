"""Schedules that are due at once, fired over the store in memory, next to APScheduler with its own."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from statistics import median
from time import perf_counter, process_time
from typing import Any, cast

import anyio
import anyio.lowlevel
from apscheduler.events import EVENT_JOB_EXECUTED
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from tta_schedules import Schedule, Schedules
from tta_schedules.memory import MemoryScheduleStore
from tta_schedules.scheduler import Scheduler
from tta_schedules.testing import FakeWorkflows
from tta_workflows.testing import VirtualClock

SCHEDULES, ROUNDS = 2000, 5
HOUR = 3600.0
BEGIN = 1_000_800.0


def measure() -> Mapping[str, float]:
    """Print the rows, and return what stands in the JSON."""
    logging.disable(logging.CRITICAL)
    return anyio.run(_measure)


async def _measure() -> Mapping[str, float]:
    rows: dict[str, Callable[[], Awaitable[tuple[float, float]]]] = {"ours": _ours, "apscheduler": _apscheduler}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    for _ in range(ROUNDS):  # In turn, so that both have the same machine.
        for name, fire in rows.items():
            found[name].append(await fire())
    per_s = {name: round(SCHEDULES / median(cpu for cpu, _ in each)) for name, each in found.items()}
    print(f"\nschedules that are due at once: fired per second of processor time, median of {ROUNDS} × {SCHEDULES:,}")
    for name, each in found.items():
        print(f"  {name:<28} {per_s[name]:8,.0f}   {SCHEDULES / median(wall for _, wall in each):8,.0f} by the clock")
    return {"schedules_per_s": per_s["ours"], "schedules_per_s_apscheduler": per_s["apscheduler"]}


async def _ours() -> tuple[float, float]:
    """Decide, start and settle: two fenced commits for each, and a run that costs nothing."""
    clock = VirtualClock(BEGIN)
    store = MemoryScheduleStore(anyio.current_time)
    workflows = FakeWorkflows(clock.time)
    schedules = Schedules(store, durable=False)
    schedules.clock = clock.time
    for number in range(SCHEDULES):
        await schedules.add(f"s{number}", Schedule("w", every=HOUR, overlap="allow"))
    scheduler = Scheduler(schedules, cast(Any, workflows), clock, process="p", log=logging.getLogger("bench"))
    async with scheduler.running():
        await scheduler.hold.taken.wait()
        before = process_time(), perf_counter()
        clock.advance(HOUR)
        while scheduler.fired < SCHEDULES:
            await anyio.lowlevel.checkpoint()
        return process_time() - before[0], perf_counter() - before[1]


async def _apscheduler() -> tuple[float, float]:
    """One function for each, from its store in memory: nothing is fenced, and nothing settled."""
    scheduler = AsyncIOScheduler(timezone=UTC)
    left, over = SCHEDULES, anyio.Event()

    async def work() -> None: ...

    def executed(event: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            over.set()

    due = datetime.now(UTC)
    for number in range(SCHEDULES):
        scheduler.add_job(work, "date", run_date=due, misfire_grace_time=None, id=f"s{number}")
    scheduler.add_listener(executed, EVENT_JOB_EXECUTED)
    before = process_time(), perf_counter()
    scheduler.start()
    await over.wait()
    spent = process_time() - before[0], perf_counter() - before[1]
    scheduler.shutdown(wait=False)
    return spent
