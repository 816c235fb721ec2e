"""The contract of what `execution` says of runs, in all processes that share a journal: how many, and which of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from tta_workflows.definition import Workflow
from tta_workflows.engine import Settings
from tta_workflows.executor import Executor
from tta_workflows.journal import Journal, RunHead
from tta_workflows.keys import slot

from .fakes import Call, FakeAgents, Processes, VirtualClock, workflow

PATIENCE = 20.0
QUICKLY = Settings(lease=1.0, grace=0.1)


class Gate:
    """Work that counts how much of it goes on at once, and may be made to wait."""

    def __init__(self) -> None:
        self.at_work = self.most = 0
        self.texts: list[str] = []
        self.open = anyio.Event()

    async def __call__(self, call: Call) -> Mapping[str, Any]:
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        try:
            self.texts.append(call.request["text"])
            await self.open.wait()
            await anyio.lowlevel.checkpoint()
        finally:
            self.at_work -= 1
        return call.request

    async def begun(self, count: int) -> None:
        """Return when so many have begun."""
        while len(self.texts) < count:  # noqa: ASYNC110 - another process tells nobody
            await anyio.sleep(0.005)


def once(**execution: Any) -> Workflow:
    """Make a definition of one step, whose undo would be a call, too."""
    undo = {"agent": "undo", "input": {"text": "input.text"}}
    return workflow({"id": "a", "agent": "gate", "input": {"text": "input.text"}, "undo": undo}, execution=execution)


class EntranceContract:
    """Subclass this, and give the fixture ``journal``: one that is empty."""

    @pytest.fixture
    def gate(self) -> Gate:
        return Gate()

    @pytest.fixture
    def processes(self, journal: Journal, gate: Gate) -> Processes:
        return Processes(journal, FakeAgents({"gate": gate}), settings=QUICKLY)

    @asynccontextmanager
    async def two(self, processes: Processes, definition: Workflow) -> AsyncIterator[tuple[Executor, Executor]]:
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=definition) as one, processes.running(w=definition) as other:
                yield one, other

    async def test_no_more_runs_of_a_key_are_under_way_than_may_in_all_processes(
        self, processes: Processes, gate: Gate
    ) -> None:
        definition = once(concurrency={"key": "input.place", "limit": 2})
        gate.open.set()
        async with self.two(processes, definition) as executors:
            handles = [
                await executors[number % 2].start("w", {"text": str(number), "place": "here"}) for number in range(8)
            ]
            assert {(await handle.result()).status for handle in handles} == {"done"}
        assert sorted(gate.texts) == [str(number) for number in range(8)]
        assert gate.most <= 2

    async def test_runs_of_other_keys_do_not_wait(self, processes: Processes, gate: Gate) -> None:
        async with self.two(processes, once(concurrency={"key": "owner"})) as (one, other):
            handles = [await one.start("w", {"text": "ann"}, owner="ann")]
            handles += [await other.start("w", {"text": "bob"}, owner="bob")]
            await gate.begun(2)
            gate.open.set()
            assert {(await handle.result()).status for handle in handles} == {"done"}

    async def test_a_run_that_waits_to_begin_can_be_cancelled_and_nothing_is_taken_back(
        self, processes: Processes, gate: Gate
    ) -> None:
        async with self.two(processes, once(concurrency={})) as (one, other):
            first = await one.start("w", {"text": "first"})
            await gate.begun(1)
            waiting = [await one.start("w", {"text": "here"}), await other.start("w", {"text": "there"})]
            assert [(await handle.query()).waits for handle in (first, *waiting)] == ["", *["concurrency"] * 2]
            for handle in waiting:
                assert (await handle.cancel()).status == "cancelled"
            gate.open.set()
            assert (await first.result()).status == "done"
        assert [call.agent.type for call in processes.agents.calls] == ["gate"]

    async def test_what_a_dead_process_held_is_taken_over_and_then_others_begin(
        self, processes: Processes, gate: Gate, journal: Journal
    ) -> None:
        definition = once(concurrency={})
        with anyio.fail_after(PATIENCE):
            async with processes.running(w=definition) as one:
                await one.start("w", {"text": "first"}, key="first")
                await gate.begun(1)
            gate.open.set()
            async with processes.running(w=definition) as other:
                assert (await other.run("w", {"text": "second"})).status == "done"
                first = await other.find("first")
                assert first is not None
                assert (await first.result()).status == "done"
        assert gate.most == 1

    async def test_a_singleton_is_the_run_that_is_under_way(self, processes: Processes, gate: Gate) -> None:
        async with self.two(processes, once(singleton={"key": "session"})) as (one, other):
            first = await one.start("w", {"text": "first"}, session="s")
            second = await other.start("w", {"text": "second"}, session="s")
            apart = await other.start("w", {"text": "apart"}, session="other")
            assert (first.id == second.id, first.id == apart.id) == (True, False)
            gate.open.set()
            assert (await second.result()).status == (await apart.result()).status == "done"
            later = await other.run("w", {"text": "later"}, session="s")
            assert (later.status, later.id == first.id) == ("done", False)
        assert sorted(gate.texts) == ["apart", "first", "later"]

    async def test_of_many_who_start_a_singleton_at_once_one_begins(self, processes: Processes, gate: Gate) -> None:
        ids: set[str] = set()

        async def start(executor: Executor, text: str) -> None:
            ids.add((await executor.start("w", {"text": text})).id)

        async with self.two(processes, once(singleton={})) as executors:
            async with anyio.create_task_group() as tasks:
                for number in range(10):
                    tasks.start_soon(start, executors[number % 2], str(number))
            await gate.begun(1)
            gate.open.set()
            [id] = ids
            handle = await executors[0].find(id)
            assert handle is not None
            assert (await handle.result()).status == "done"
        assert len(gate.texts) == 1

    async def test_nobody_gets_the_singleton_of_somebody_else(self, processes: Processes, gate: Gate) -> None:
        async with self.two(processes, once(singleton={})) as (one, other):
            await one.start("w", {"text": "hers"}, owner="ann")
            await gate.begun(1)
            refused = await other.run("w", {"text": "his"}, owner="bob")
            assert (refused.status, refused.error) == ("refused", "key_taken")
            gate.open.set()

    async def test_of_runs_that_are_started_in_quick_succession_the_last_begins(
        self, processes: Processes, gate: Gate
    ) -> None:
        gate.open.set()
        clock = processes.clock = VirtualClock()
        handles = []
        async with self.two(processes, once(debounce={"wait": 5.0})) as executors:
            for number in range(4):
                handles.append(await executors[number % 2].start("w", {"text": str(number)}))
                clock.advance(1.0)
            last = handles[3].id
            assert (await handles[3].query()).waits == "debounce"
            name = slot("debounce", RunHead(last, "w", "", 0.0), "")
            while list(await processes.journal.enter(name, last, 1)) != [last]:  # noqa: ASYNC110 - it tells nobody
                await anyio.sleep(0.005)
            clock.advance(60.0)
            ended = [(await handle.result()).status for handle in handles]
        assert ended == ["cancelled"] * 3 + ["done"]
        assert [call.request["text"] for call in processes.agents.calls] == ["3"]

    async def test_after_a_pause_the_next_one_begins_again(self, processes: Processes, gate: Gate) -> None:
        gate.open.set()
        async with self.two(processes, once(debounce={"wait": 0.02})) as (one, other):
            assert [(await each.run("w", {"text": "hi"})).status for each in (one, other)] == ["done", "done"]
