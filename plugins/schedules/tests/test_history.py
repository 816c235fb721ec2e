"""Ten thousand hours of several processes that fire schedules, die, are paused, and whose clocks are set.

Time is virtual, and what happens is drawn from a seed. Afterwards each due time must have come to exactly one end.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskGroup, TaskStatus

from tta_schedules import Entry, Record, Schedule, Schedules, timing_of
from tta_schedules.memory import MemoryScheduleStore
from tta_schedules.scheduler import Scheduler, Settings
from tta_schedules.testing import FakeWorkflows

HOUR = 3600.0
HOURS = 10_000
BEGIN = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
LEASE = 2 * HOUR
STEP = HOUR / 2
BACK = 40 * 86400.0
ALL = {"catch_up": "all", "window": BACK, "most": 100, "overlap": "allow"}
SCHEDULES: Mapping[str, Schedule] = {
    "night": Schedule("w", cron="30 2 * * *", zone="Europe/Berlin", **ALL),  # type: ignore[arg-type]  # as in a config
    "hourly": Schedule("w", cron="15 * * * *", zone="America/New_York", **ALL),  # type: ignore[arg-type]
    "half": Schedule("w", cron="*/30 1-2 * * *", zone="Australia/Lord_Howe", **ALL),  # type: ignore[arg-type]
    "steady": Schedule("w", every=5 * HOUR, jitter=HOUR, **ALL),  # type: ignore[arg-type]
    "last": Schedule("w", cron="0 */3 * * *", zone="Europe/Berlin", overlap="allow", catch_up="last"),
    "skips": Schedule("w", cron="0 9 * * mon-fri", zone="Africa/Cairo", overlap="allow", catch_up="skip"),
    "lets": Schedule("w", cron="0 * * * *", overlap="skip", grace=10 * HOUR),
    "buffers": Schedule("w", every=2 * HOUR, overlap="buffer", grace=10 * HOUR),
    "cancels": Schedule("w", cron="50 */4 * * *", overlap="cancel", grace=10 * HOUR),
}
FIRES_ALL = ("night", "hourly", "half", "steady")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class World:
    """What all processes share: the time as it is, the store, workflows, and the whole of what was stored."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = BEGIN
        self.store = MemoryScheduleStore(lambda: self.now)
        self.workflows = FakeWorkflows(lambda: self.now, over=False)
        self.records: dict[str, list[Record]] = {name: [] for name in SCHEDULES}
        self.first: dict[str, float] = {}
        """By schedule, the first time at which it was due: whoever entered it may have had a wrong clock."""
        self.calls = 0

    def note(self, entry: Entry, records: Sequence[Record]) -> None:
        self.records[entry.name] += records
        if entry.next is not None:
            self.first.setdefault(entry.name, entry.next)


class Process:
    """One process; at a drawn moment it dies or is paused before, or after, its next call has done something."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self.name = world, name
        self.offset = 0.0
        self.fate = ""
        self.alive, self.paused = True, False
        self.go_on = anyio.Event()
        schedules = Schedules(cast(Any, Connection(self, world.store)), durable=True, configured=SCHEDULES)
        schedules.clock = self.time
        self.scheduler = Scheduler(
            schedules, cast(Any, Connection(self, world.workflows)), cast(Any, self), process=name,
            log=logging.getLogger("test"), settings=Settings(lease=LEASE), monotonic=lambda: world.now,
        )  # fmt: skip

    def time(self) -> float:
        return self._world.now + self.offset

    async def live(self, *, task_status: TaskStatus[None]) -> None:
        async with anyio.create_task_group() as self.tasks:
            task_status.started()
            await anyio.sleep_forever()

    def look(self) -> None:
        if self.alive and not self.paused:
            self.tasks.start_soon(self._look)

    async def _look(self) -> None:
        await self.scheduler.hold.ask()
        if self.scheduler.hold.lease is not None:
            await self.scheduler.look(self.tasks)

    async def come_to_its_fate(self) -> None:
        fate, self.fate = self.fate, ""
        if fate == "dies":
            self.alive = False
            self.tasks.cancel_scope.cancel()
            await anyio.sleep_forever()
        self.paused = True
        await self.go_on.wait()

    def wake(self) -> None:
        self.paused = False
        self.go_on.set()
        self.go_on = anyio.Event()


class Connection:
    """What a process calls; at its fate a call may or may not have done what it does."""

    def __init__(self, process: Process, target: Any) -> None:
        self._process, self._target = process, target

    def __getattr__(self, name: str) -> Any:
        method, process = getattr(self._target, name), self._process

        async def call(*args: Any, **how: Any) -> Any:
            process._world.calls += 1
            fateful = process.fate and name in ("put", "start") and process._world.random.random() < 0.5
            before = process._world.random.random() < 0.5
            if process.paused or (fateful and before):
                await (process.go_on.wait() if process.paused else process.come_to_its_fate())
            answer = await method(*args, **how)
            if name == "put":
                process._world.note(args[0], args[1] if len(args) > 1 else ())
            if fateful and not before:
                await process.come_to_its_fate()
            return answer

        return call


async def settle(world: World) -> None:
    """Let everything come as far as it can: until nobody has called anything for some turns of the event loop."""
    before = -1
    while world.calls != before:
        before = world.calls
        for _ in range(15):
            await anyio.lowlevel.checkpoint()


async def happen(world: World, processes: list[Process], stack: TaskGroup) -> None:
    """Let something happen to a process now and then."""
    drawn = world.random
    for number, process in enumerate(processes):
        if not process.alive:
            if drawn.random() < 0.1:
                processes[number] = Process(world, process.name)
                await stack.start(processes[number].live)
        elif process.paused:
            if drawn.random() < 0.1:
                process.wake()
        elif drawn.random() < 0.01:
            process.fate = drawn.choice(["dies", "is paused"])
        elif drawn.random() < 0.01:
            process.offset = drawn.choice([-HOUR, 0.0, HOUR])
    for key in [key for key in world.workflows.going if drawn.random() < 0.4]:
        world.workflows.end(key)


async def live(world: World) -> None:
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(anyio.create_task_group())
        processes = [Process(world, name) for name in ("a", "b", "c")]
        for process in processes:
            await tasks.start(process.live)
        while world.now < BEGIN + HOURS * HOUR:
            world.now += min(STEP, max(1.0, (await world.store.wake(world.now) or world.now + STEP) - world.now))
            await happen(world, processes, tasks)
            for process in world.random.sample(processes, len(processes)):
                process.look()
            await settle(world)
        # At last the clocks are right, and whoever is left does what is due.
        for process in processes:
            process.fate, process.offset = "", 0.0
            process.wake()
        last = Process(world, "last")
        await tasks.start(last.live)
        for _ in range(12):
            world.now += STEP
            for key in list(world.workflows.going):
                world.workflows.end(key)
            for process in (*processes, last):
                process.look()
            await settle(world)
        tasks.cancel_scope.cancel()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2])
async def test_each_due_time_of_ten_thousand_hours_comes_to_one_end(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    world = World(seed)
    await live(world)
    for name, schedule in SCHEDULES.items():
        records = world.records[name]
        ends = Counter(record.due for record in records if record.what in ("fired", "skipped"))
        missed = sum(record.count for record in records if record.what == "missed")
        fired = [record.due for record in records if record.what == "fired"]
        entry = await world.store.get(name)
        assert entry is not None
        assert entry.next is not None
        first = world.first[name] - 1
        expected = set(takewhile(lambda due, end=entry.next: due < end, timing_of(schedule).since(first)))  # type: ignore[misc]
        waiting = {entry.waiting} - {None}
        assert entry.firing is None, name
        assert max(ends.values()) == 1, name
        assert ends.keys() <= expected, name
        assert len(ends) + missed + len(waiting) == len(expected), name
        assert len(fired) > 100, name
        begun = {key for key in world.workflows.begun if key.startswith(f"schedule:{name}:")}
        assert begun == {record.run for record in records if record.what == "fired"}, name
        assert len(begun) == len(fired), name
        if name in FIRES_ALL:
            assert set(fired) == expected, name
