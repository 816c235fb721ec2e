"""Schedules on a real Redis whose process is killed or paused in the middle of firing: each due time is fired once."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from tta_redis import Config, Redis, connect
from tta_redis.testing import RedisServer, redis_server, sentinel
from tta_schedules import Record, Schedule, Schedules, ScheduleStoreError, timing_of
from tta_schedules.testing import until
from tta_schedules_redis import RedisScheduleStore
from tta_workflows.journal import RunQuery, RunSummary
from tta_workflows_redis import RedisJournal

from .worker import Spec

WORKER = Path(__file__).with_name("worker.py")
PATIENCE = 40.0
TICK = Schedule("tick", {"text": "hi"}, every=1.0, overlap="allow", catch_up="all", window=3600.0, most=100, grace=0.5)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server("--appendonly", "yes", "--appendfsync", "always", own=True) as found:
        yield found


class Worker:
    """Another process, and what it says."""

    def __init__(self, process: Process) -> None:
        self.process = process
        assert process.stdout is not None
        self._lines = BufferedByteReceiveStream(process.stdout)

    async def says(self, expected: str) -> str:
        with anyio.fail_after(PATIENCE):
            line = (await self._lines.receive_until(b"\n", 1000)).decode()
        assert line.startswith(expected), line
        return line.removeprefix(expected).strip()

    async def stopped(self) -> int:
        """End it in order, and return how many due times it has fired."""
        self.process.send_signal(signal.SIGTERM)
        return int(await self.says("fired"))


@asynccontextmanager
async def worker(where: Config, **spec: object) -> AsyncIterator[Worker]:
    whole = Spec(redis=where, **spec)  # type: ignore[arg-type]  # its own fields
    process = await anyio.open_process([sys.executable, str(WORKER), msgspec.json.encode(whole).decode()], stderr=None)
    try:
        found = Worker(process)
        await found.says("ready")
        yield found
    finally:
        if process.returncode is None:
            process.kill()
        with anyio.CancelScope(shield=True):
            await process.aclose()


async def history(redis: Redis) -> Sequence[Record]:
    return await RedisScheduleStore(redis, history=1000).history("tick", 1000)


async def until_fired(redis: Redis, count: int) -> None:
    async def fired() -> bool:
        try:
            return sum(each.what == "fired" for each in await history(redis)) >= count
        except ScheduleStoreError:  # Nobody is the master yet.
            return False

    await until(fired, PATIENCE)


async def all_runs(redis: Redis) -> Sequence[RunSummary]:
    return (await RedisJournal(redis).list(RunQuery(labels={"schedule": "tick"}, most=1000))).runs


async def each_due_time_was_fired_once(redis: Redis, where: Config, *, replicas: int = 0) -> None:
    """Pause the schedule, and hold its history and the runs against its due times.

    A process that ends while Redis is away leaves what it was firing to the next one, which is started here.
    """
    schedules = Schedules(RedisScheduleStore(redis), durable=True)
    await schedules.pause("tick")

    async def is_at_rest() -> bool:
        entry = await schedules.get("tick")
        runs = await all_runs(redis)
        return entry is not None and entry.firing is None and {run.status for run in runs} == {"done"}

    async with worker(where, name="next", replicas=replicas):
        await until(is_at_rest, PATIENCE)
    entry = await schedules.get("tick")
    assert entry is not None
    assert entry.last is not None
    records = [each for each in reversed(await history(redis)) if each.what not in ("changed", "paused")]
    assert {each.what for each in records} == {"fired"}
    due = [each.due for each in records]
    expected = [due[0]]
    while expected[-1] < entry.last:
        expected.append(timing_of(TICK).after(expected[-1]) or 0.0)
    assert due == expected
    assert sorted(run.id for run in await all_runs(redis)) == sorted(each.run for each in records)


@pytest.mark.parametrize("begun", [False, True], ids=["before the run has begun", "after it has"])
async def test_what_a_process_was_firing_when_it_was_killed_is_fired_once(server: RedisServer, *, begun: bool) -> None:
    where = server.config()
    async with connect(where) as redis:
        await Schedules(RedisScheduleStore(redis), durable=True).add("tick", TICK)
        async with (
            worker(where, name="owner", acts_at=3, act=signal.SIGKILL, begun=begun) as owner,
            worker(where, name="peer") as peer,
        ):
            key = await owner.says("acting")
            await until_fired(redis, 7)
            assert key in {each.run for each in await history(redis)}
            assert await peer.stopped() >= 4
        await each_due_time_was_fired_once(redis, where)


@pytest.mark.parametrize("begun", [False, True], ids=["before the run has begun", "after it has"])
async def test_a_process_that_was_paused_while_it_fired_fires_nothing_more_that_another_has(
    server: RedisServer, *, begun: bool
) -> None:
    where = server.config()
    async with connect(where) as redis:
        await Schedules(RedisScheduleStore(redis), durable=True).add("tick", TICK)
        async with (
            worker(where, name="owner", acts_at=3, act=signal.SIGSTOP, begun=begun) as owner,
            worker(where, name="peer") as peer,
        ):
            await owner.says("acting")
            await until_fired(redis, 7)
            owner.process.send_signal(signal.SIGCONT)
            await until_fired(redis, 9)
            assert await owner.stopped() == 2
            assert await peer.stopped() >= 5
        await each_due_time_was_fired_once(redis, where)


async def test_who_ends_in_order_lets_another_go_on_at_once(server: RedisServer) -> None:
    where = server.config()
    async with connect(where) as redis:
        await Schedules(RedisScheduleStore(redis), durable=True).add("tick", TICK)
        async with worker(where, name="owner", lease=600.0) as owner, worker(where, name="peer", lease=600.0) as peer:
            await until_fired(redis, 2)
            first, second = owner, peer
            stopped = await first.stopped()
            await until_fired(redis, 5)
            assert stopped + await second.stopped() >= 5
        await each_due_time_was_fired_once(redis, where)


async def test_redis_that_is_killed_and_comes_back_loses_no_due_time(server: RedisServer) -> None:
    where = server.config()
    async with connect(where) as redis:
        await Schedules(RedisScheduleStore(redis), durable=True).add("tick", TICK)
        async with worker(where, name="owner") as owner, worker(where, name="peer") as peer:
            await until_fired(redis, 2)
            server.kill()
            server.start()
            await until_fired(redis, 6)
            assert await owner.stopped() + await peer.stopped() >= 5
        await each_due_time_was_fired_once(redis, where)


async def test_a_replica_that_takes_over_goes_on_with_what_the_master_has_confirmed() -> None:
    with sentinel() as several:
        where = several.config(socket_timeout=1.0)
        async with connect(where) as redis:
            assert await redis.wait(1, 10.0, key="warm") == 1
            await Schedules(RedisScheduleStore(redis, wait_replicas=1), durable=True).add("tick", TICK)
            async with (
                worker(where, name="owner", replicas=1) as owner,
                worker(where, name="peer", replicas=1) as peer,
            ):
                await until_fired(redis, 3)
                several.master().kill()
                await until_fired(redis, 7)
                assert await owner.stopped() + await peer.stopped() >= 6
            await each_due_time_was_fired_once(redis, where, replicas=1)
