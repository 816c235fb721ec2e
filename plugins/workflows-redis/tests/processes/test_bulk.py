"""A bulk action whose operators are killed or paused, or whose Redis is: all runs are asked in the end, each once."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import msgspec
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from tta_redis import Config, connect
from tta_redis.testing import RedisServer, redis_server, sentinel
from tta_workflows.bulk import PAGE
from tta_workflows.journal import RunHead
from tta_workflows.plan import make_plan
from tta_workflows.records import Asked, Done
from tta_workflows_redis import RedisJournal

from .asker import OperatorSpec
from .worker import DEFINITIONS

SCRIPT = Path(__file__).with_name("asker.py")
RUNS = int(os.environ.get("TTA_TEST_BULK_RUNS", "1000"))
"""A tenth of what the bulk action is held to; the environment may ask for the whole."""
KILLS = 3
LEASE = 1.0
LONG_LEASE = 30.0
"""Longer than a replica takes to become the master."""
LATEST = 0.2 * RUNS / 1000
"""Seconds after which an operator is killed at the latest."""
PATIENCE = 60.0 + RUNS / 100


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server("--appendonly", "yes", "--appendfsync", "everysec", own=True) as found:
        yield found


@asynccontextmanager
async def operator(
    where: Config, *, begins: bool, lease: float = LEASE
) -> AsyncIterator[tuple[anyio.abc.Process, BufferedByteReceiveStream]]:  # fmt: skip
    spec = OperatorSpec(redis=where, key="bulk", lease=lease, begins=begins)
    arguments = [sys.executable, str(SCRIPT), msgspec.json.encode(spec).decode()]
    async with await anyio.open_process(arguments, stderr=None) as process:
        assert process.stdout is not None
        lines = BufferedByteReceiveStream(process.stdout)
        with anyio.fail_after(PATIENCE):
            assert await lines.receive_until(b"\n", 100) == b"ready"
            assert await lines.receive_until(b"\n", 100) == b"asking"
            yield process, lines


async def begin_runs(journal: RedisJournal) -> None:
    """Begin runs that their process has left in the middle; nobody here goes on with them."""
    plan = make_plan("chain", DEFINITIONS)
    lease = await journal.join("gone", 600.0)
    await journal.define(plan.definition, plan.packed)
    limit = anyio.CapacityLimiter(32)

    async def create(number: int) -> None:
        async with limit:
            await journal.create(lease, RunHead(f"r{number}", "chain", plan.definition, time.time()))

    async with anyio.create_task_group() as tasks:
        for number in range(RUNS):
            tasks.start_soon(create, number)


async def each_was_asked_once(journal: RedisJournal) -> None:
    asked = [await journal.read(f"r{number}") for number in range(RUNS)]
    bulk = await journal.read("bulk")
    assert bulk is not None
    assert bulk.status == "done"
    for found in asked:
        assert found is not None
        assert [(type(each), getattr(each, "id", ""), getattr(each, "what", "")) for each in found.records] == [
            (Asked, "bulk", "pause")
        ]
    # Each page is there once, however often it was begun.
    pages = [record.step for record in bulk.records if isinstance(record, Done) and "#" in record.step]
    assert pages == [f"page#{number}" for number in range(1, len(pages) + 1)]
    assert len(pages) >= RUNS // PAGE


async def test_a_bulk_action_ends_complete_after_three_kills(server: RedisServer) -> None:
    where, seed = server.config(), random.Random(12)
    async with connect(where) as redis:
        journal = RedisJournal(redis)
        await begin_runs(journal)
        for number in range(KILLS):
            async with operator(where, begins=not number) as (process, _):
                await anyio.sleep(seed.uniform(0, LATEST))  # It may be anywhere.
                process.kill()
                await process.wait()
        async with operator(where, begins=False) as (process, lines):
            assert await lines.receive_until(b"\n", 100) == b"done "
            assert await process.wait() == 0
        await each_was_asked_once(journal)


async def test_an_operator_that_was_paused_asks_nothing_that_another_has_asked(server: RedisServer) -> None:
    where, seed = server.config(), random.Random(13)
    async with connect(where) as redis:
        journal = RedisJournal(redis)
        await begin_runs(journal)
        async with operator(where, begins=True) as (paused, its_lines):
            await anyio.sleep(seed.uniform(0, LATEST))  # It may be anywhere.
            paused.send_signal(signal.SIGSTOP)
            async with operator(where, begins=False) as (process, lines):
                await anyio.sleep(seed.uniform(0, LATEST))
                paused.send_signal(signal.SIGCONT)
                assert await lines.receive_until(b"\n", 100) == b"done "
                assert await process.wait() == 0
            # It hears how the action ended, though another has ended it.
            assert await its_lines.receive_until(b"\n", 100) == b"done "
            assert await paused.wait() == 0
        await each_was_asked_once(journal)


async def test_a_bulk_action_goes_on_at_the_replica_that_takes_over() -> None:
    with sentinel() as several:
        where, seed = several.config(socket_timeout=1.0), random.Random(14)
        async with connect(where) as redis:
            journal = RedisJournal(redis)
            await begin_runs(journal)
            assert await redis.wait(1, 10.0, key="warm") == 1
            async with operator(where, begins=True, lease=LONG_LEASE) as (process, lines):
                await anyio.sleep(seed.uniform(0, LATEST))  # It may be anywhere.
                several.master().kill()
                assert await lines.receive_until(b"\n", 100) == b"done "
                assert await process.wait() == 0
            await each_was_asked_once(journal)
