"""Runs whose owner is killed, paused or stopped, and a Redis that is killed while another process takes them over.

A test that answers a report about another engine is named after it: dbos-transact-py, langgraph, agent-framework and
pydantic-ai, with the number of the issue.

Each test has a real Redis of its own that writes its file, and the test's process is one of those that run workflows.
"""

from __future__ import annotations

import itertools
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import msgspec
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from tta_redis import Config, Redis, connect
from tta_redis.testing import RedisServer, redis_server
from tta_workflows.engine import Settings
from tta_workflows.executor import Executor
from tta_workflows.handle import Handle
from tta_workflows.journal import Commit, RunHead, RunStatus
from tta_workflows.plan import make_plan
from tta_workflows.records import AnyRecord, Done, Ended, Started
from tta_workflows.runs import Retracted, Streamed
from tta_workflows.testing import Call, FakeAgents, Processes
from tta_workflows_redis import RedisJournal
from tta_workflows_redis.layout import Places

from .proxy import Proxy
from .worker import DEFINITIONS, PIECES, STEPS, Spec, Work, effects

WORKER = Path(__file__).with_name("worker.py")
PEER = Spec(name="peer")
PATIENCE = 30.0
RUNS = 200
IN_THE_MIDDLE = RUNS * 5 // 2
"""The call of an agent, of five for each run, at which the owner's fate comes."""
LEASE = 1.0
FOR_LONG = 600.0
"""A lease whose end no test waits for."""
POINTS = 2 * len(STEPS) + 2
"""How many records a chain may have when its process dies: none to all."""
SAMPLE = 3
"""At every so-manieth command of a recovery Redis is killed."""
NOISE = 5.0
"""So much longer, in seconds, all may take on a machine that is busy with something else."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server("--appendonly", "yes", "--appendfsync", "always", own=True) as found:
        yield found


class Worker:
    """Another process; it is killed at the end, if it still lives."""

    def __init__(self, where: Config, **spec: Any) -> None:
        self._spec = Spec(redis=where, **spec)

    async def __aenter__(self) -> Self:
        arguments = [sys.executable, str(WORKER), msgspec.json.encode(self._spec).decode()]
        self.process = await anyio.open_process(arguments, stderr=None)
        assert self.process.stdout is not None
        self._lines = BufferedByteReceiveStream(self.process.stdout)
        await self.says("ready")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            self.process.kill()
        with anyio.CancelScope(shield=True):
            await self.process.aclose()

    async def line(self) -> str:
        with anyio.fail_after(PATIENCE):
            return (await self._lines.receive_until(b"\n", 1000)).decode()

    async def says(self, expected: str) -> None:
        assert await self.line() == expected

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        with anyio.fail_after(PATIENCE):
            return await self.process.wait()

    async def stopped(self) -> int:
        """End it in order, and return how many of its commits were refused."""
        self.send(signal.SIGTERM)
        name, _, count = (await self.line()).partition(" ")
        assert (name, await self.ended()) == ("fenced", 0)
        return int(count)


@asynccontextmanager
async def peer(redis: Redis, agents: FakeAgents, *, lease: float = LEASE) -> AsyncIterator[Executor]:
    """Run workflows in the test's own process."""
    journal = RedisJournal(redis)
    processes = Processes(journal, agents, settings=Settings(lease=lease, grace=0.2))
    async with journal.listening(), processes.running(None, **DEFINITIONS) as executor:
        yield executor


async def histories(executor: Executor, count: int = RUNS) -> Mapping[str, Sequence[AnyRecord]]:
    """Wait for the end of so many chains, and return what they have come to."""
    found: dict[str, Sequence[AnyRecord]] = {}
    with anyio.fail_after(PATIENCE):
        for run in (f"r{number}" for number in range(count)):
            handle = await executor.find(run)
            assert handle is not None, run
            result = await handle.result()
            assert (result.status, result.error) == ("done", ""), run
            found[run] = await executor.history(run)
    return found


async def until_waiting(executor: Executor, run: str, count: int) -> None:
    """Wait until so many of a run's steps wait for an answer."""
    with anyio.fail_after(PATIENCE):
        while True:
            seen = len(await executor.history(run))
            found = await executor.query(run)
            if found is not None and [step.status for step in found.steps].count("waiting") == count:
                return
            await executor.wait(run, seen, 1.0)


def done(records: Sequence[AnyRecord]) -> Sequence[Done]:
    return [record for record in records if isinstance(record, Done)]


def committed_once(records: Sequence[AnyRecord]) -> None:
    """See that each step's output is there once, all in order, and that who came second has all that came after."""
    assert [record.step for record in done(records)] == list(STEPS)
    assert [record for record in records if isinstance(record, Ended)] == [records[-1]]
    by = [record.output["by"] for record in done(records)]
    assert by == sorted(by, key=["owner", "peer"].index)


def taken_over_after(found: Mapping[str, Sequence[AnyRecord]]) -> float:
    """Return how long after the owner's last commit the last of its runs had gone on, in seconds."""
    everything = [each for records in found.values() for each in done(records)]
    last = max(each.at for each in everything if each.output["by"] == "owner")
    went_on: dict[str, float] = {}
    for run, records in found.items():
        went_on[run] = min((each.at for each in done(records) if each.output["by"] == "peer"), default=0.0)
    return max(went_on.values()) - last


def text_of(read: Sequence[Streamed | Retracted]) -> str:
    return "".join(piece.text for piece in read if isinstance(piece, Streamed))


async def effects_of(redis: Redis) -> Mapping[str, int]:
    """Return how often each call has had its effect."""
    flat = await redis.execute("HGETALL", effects(redis))
    return {key.decode(): int(count) for key, count in zip(flat[::2], flat[1::2], strict=True)}


async def repeated_only_what_was_under_way(redis: Redis, found: Mapping[str, Sequence[AnyRecord]]) -> int:
    """See which effects there have been twice; return how many."""
    times = await effects_of(redis)
    keys = {f"{run}:{step}:1" for run in found for step in STEPS}
    assert set(times) == keys
    assert set(times.values()) <= {1, 2}
    for run, records in found.items():
        twice = [step for step in STEPS if times[f"{run}:{step}:1"] == 2]
        # A chain has one step under way, and only that whose end the owner couldn't commit is made again.
        assert len(twice) <= 1, run
        assert [each.output["by"] for each in done(records) if each.step in twice] == ["peer"] * len(twice)
    return sum(count - 1 for count in times.values())


async def test_dbos_805_all_runs_of_a_killed_process_go_on_from_where_they_were(server: RedisServer) -> None:
    where = server.config()
    async with connect(where) as redis, peer(redis, Work(redis, PEER).agents()) as executor:
        async with Worker(where, name="owner", start=RUNS, acts_at=IN_THE_MIDDLE, act=signal.SIGKILL) as owner:
            assert await owner.ended() == -signal.SIGKILL
        found = await histories(executor)
        assert await repeated_only_what_was_under_way(redis, found) > 0
    for records in found.values():
        committed_once(records)
    assert taken_over_after(found) < 2 * LEASE + NOISE


async def test_langgraph_8796_a_paused_process_that_wakes_commits_nothing_more(server: RedisServer) -> None:
    where = server.config()
    async with connect(where) as redis, peer(redis, Work(redis, PEER).agents()) as executor:
        async with Worker(where, name="owner", start=RUNS, acts_at=IN_THE_MIDDLE, act=signal.SIGSTOP) as owner:
            await owner.says("acting")
            found = await histories(executor)
            owner.send(signal.SIGCONT)
            assert await owner.stopped() > 0
        assert await histories(executor) == found
        await repeated_only_what_was_under_way(redis, found)
    for records in found.values():
        committed_once(records)


async def test_what_a_killed_process_held_is_held_by_nobody_else_until_it_is_over(server: RedisServer) -> None:
    where = server.config()
    async with connect(where) as redis, peer(redis, Work(redis, PEER).agents()) as executor:
        async with Worker(where, name="owner", chain="alone", start=9, acts_at=6, act=signal.SIGKILL) as owner:
            assert await owner.ended() == -signal.SIGKILL
        for number in range(9, 12):
            await executor.start("alone", {"text": "more"}, key=f"r{number}")
        found = await histories(executor, 12)
    held = sorted((first_step_at(records), records[-1].at) for records in found.values())
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(held)), "two were under way at once"


def first_step_at(records: Sequence[AnyRecord]) -> float:
    return next(record.at for record in records if isinstance(record, Started))


async def test_a_process_that_is_to_end_begins_nothing_and_leaves_its_runs_at_once(server: RedisServer) -> None:
    where = server.config()
    async with connect(where) as redis, peer(redis, Work(redis, PEER).agents()) as executor:
        spec = {"name": "owner", "start": RUNS, "acts_at": IN_THE_MIDDLE, "act": signal.SIGTERM, "lease": FOR_LONG}
        async with Worker(where, **spec) as owner:
            await owner.says("acting")
            await owner.says("refused unavailable")
            await owner.says("fenced 0")
            assert await owner.ended() == 0
        assert await executor.find("late") is None
        found = await histories(executor)
        await repeated_only_what_was_under_way(redis, found)
    for records in found.values():
        committed_once(records)
    assert taken_over_after(found) < PATIENCE < FOR_LONG


async def test_langgraph_8796_of_two_that_believe_they_own_a_run_one_commits(server: RedisServer) -> None:
    where = server.config()
    async with connect(where) as redis, Worker(where, name="owner", start=1, holds=True, lease=FOR_LONG) as owner:
        await owner.says("holding")
        [token] = await redis.execute("ZRANGE", Places.of(redis).leases, 0, -1)
        await redis.execute("ZADD", Places.of(redis).leases, 0, token)
        work = Work(redis, msgspec.structs.replace(PEER, holds=True))
        async with peer(redis, work.agents()) as executor:
            with anyio.fail_after(PATIENCE):
                await work.held.wait()
            owner.send(signal.SIGUSR1)
            work.go_on.set()
            found = await histories(executor, 1)
            assert await owner.stopped() > 0
            assert await histories(executor, 1) == found
    committed_once(found["r0"])
    assert {each.output["by"] for each in done(found["r0"])} == {"peer"}


async def test_pydantic_ai_6092_a_text_whose_teller_is_killed_in_mid_sentence_is_told_on_to_its_reader(
    server: RedisServer,
) -> None:
    where = server.config()
    async with connect(where) as redis, peer(redis, FakeAgents(), lease=FOR_LONG) as reader:
        # The reader takes nothing over: it won't look for runs again in this test.
        async with Worker(where, name="owner", run="tale", holds=True) as owner:
            await owner.says("holding")
            handle = await reader.find("tale")
            assert handle is not None
            read: list[Streamed | Retracted] = []
            with anyio.fail_after(PATIENCE):
                async with handle.stream() as before:
                    while text_of(read) != "Once upon ":
                        read.append(await anext(before))
            assert isinstance(read[-1], Streamed)
            assert await handle.release(read[-1], len("Once upon"))
            owner.process.kill()
        async with Worker(where, name="peer"):
            with anyio.fail_after(PATIENCE):
                async with handle.stream(after=read[-1].position) as after:
                    read += [piece async for piece in after]
                run = await handle.result()
        [told] = done(await reader.history("tale"))
    assert (run.status, text_of(read)) == ("done", "".join(PIECES))
    assert all(isinstance(piece, Streamed) for piece in read)
    assert (told.output["by"], told.output["released"]) == ("peer", "".join(PIECES[:2]))
    assert run.output["text"].startswith("Once upon")


@pytest.mark.parametrize("first", ["one", "two"])
async def test_langgraph_5952_6208_agent_framework_7137_answers_before_and_after_a_crash_are_both_taken(
    server: RedisServer, first: str
) -> None:
    second = "two" if first == "one" else "one"
    where = server.config()
    async with connect(where) as redis, peer(redis, Work(redis, PEER).agents()) as executor:
        async with Worker(where, name="owner", run="asked") as owner:
            await until_waiting(executor, "asked", 2)
            assert (await executor.signal("asked", first, {"text": first}, id="1")).status == "accepted"
            await until_waiting(executor, "asked", 1)
            owner.process.kill()
        assert (await executor.signal("asked", first, {"text": "another"}, id="2")).status == "twice"
        assert (await executor.signal("asked", second, {"text": second}, id="1")).status == "accepted"
        handle = await executor.find("asked")
        assert handle is not None
        with anyio.fail_after(PATIENCE):
            run = await handle.result()
        made = await effects_of(redis)
    assert (run.status, run.output) == ("done", {"one": "one", "two": "two", "after": "one"})
    assert made == {"asked:before:1": 1, "asked:after:1": 1}


async def answer(call: Call) -> Mapping[str, Any]:
    return {"text": call.request["text"], "by": "peer"}


async def begin_and_die(where: Config) -> None:
    """Leave runs of a process that is gone: one at each point at which the chain may be."""
    async with connect(where) as redis:
        journal, plan = RedisJournal(redis), make_plan("chain", DEFINITIONS)
        lease = await journal.join("gone", FOR_LONG)
        await journal.define(plan.definition, plan.packed)
        records: list[AnyRecord] = []
        for step in STEPS:
            records += [Started(at=1.0, step=step), Done(at=2.0, step=step, output={"text": "x", "by": "owner"})]
        records.append(Ended(at=3.0, status="done"))
        for number in range(POINTS):
            run = f"r{number}"
            status: RunStatus = "done" if number == POINTS - 1 else "running"
            # Of now: it would be too late for one that began long ago.
            await journal.create(lease, RunHead(run, "chain", plan.definition, time.time(), input={"text": "x"}))
            if number:
                await journal.commit(lease, Commit(run, 1, tuple(records[:number]), status))
        await redis.execute("ZADD", Places.of(redis).leases, 0, lease.token)


async def recovered(server: RedisServer, kill_at: int, *, answered: bool) -> bool:
    """Take runs over from a Redis that is killed on the way, and see that all end; return whether it came to that."""
    where, proxy = server.config(), Proxy(server, kill_at, answered=answered)
    await begin_and_die(where)
    async with proxy.listening():
        through = msgspec.structs.replace(where, url=f"redis://127.0.0.1:{proxy.port}/0")
        async with connect(through) as redis:
            journal = RedisJournal(redis)
            processes = Processes(journal, FakeAgents({"work": answer}), settings=Settings(lease=LEASE, grace=0.2))
            async with journal.listening():
                proxy.counting = True
                async with processes.running(None, **DEFINITIONS) as executor:
                    with anyio.fail_after(PATIENCE):
                        for number in range(POINTS):
                            assert (await Handle(executor, f"r{number}").result()).status == "done"
                    proxy.counting = False
                    found = await histories(executor, POINTS)
    for records in found.values():
        committed_once(records)
    return proxy.killed


@pytest.mark.parametrize("answered", [False, True], ids=["lost", "stored"])
async def test_dbos_716_runs_end_wherever_redis_is_killed_while_they_are_taken_over(
    server: RedisServer, *, answered: bool
) -> None:
    kill_at = 2 if answered else 1
    while await recovered(server, kill_at, answered=answered):
        kill_at += SAMPLE
    assert kill_at > POINTS
