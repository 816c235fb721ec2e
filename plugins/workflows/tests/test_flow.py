"""Calls of an agent within the slots of its pool, as runs make them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from tta_breakers import BreakerSettings
from tta_breakers.memory import MemoryBreakerStore
from tta_breakers.testing import breakers_on
from tta_workflows.engine import Settings
from tta_workflows.memory import MemoryJournal
from tta_workflows.pools import PoolSettings
from tta_workflows.testing import Call, FakeAgents, Processes, echo, workflow

STEP = {"id": "a", "agent": "narrow", "input": {"text": "input.text"}}


class Narrow:
    """Work of which a test lets one call after the other end, and which counts how much goes on at once."""

    def __init__(self) -> None:
        self.at_work = self.most = 0
        self.texts: list[str] = []
        self._send, self._receive = anyio.create_memory_object_stream[None](100)

    async def __call__(self, call: Call) -> Mapping[str, Any]:
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        self.texts.append(call.request["text"])
        try:
            await self._receive.receive()
        finally:
            self.at_work -= 1
        return call.request

    def end(self, count: int = 1) -> None:
        for _ in range(count):
            self._send.send_nowait(None)

    async def begun(self, count: int) -> None:
        with anyio.fail_after(10):
            while len(self.texts) < count:
                await anyio.lowlevel.checkpoint()

    def close(self) -> None:
        self._send.close()
        self._receive.close()


@pytest.fixture
def narrow() -> Any:
    work = Narrow()
    yield work
    work.close()


@pytest.fixture
def processes(narrow: Narrow) -> Processes:
    agents = FakeAgents({"narrow": narrow, "echo": echo})
    pools = {"narrow": PoolSettings(1)}
    return Processes(MemoryJournal(time.time), agents, settings=Settings(lease=2.0, grace=0.1), pools=pools)


async def test_no_more_calls_of_an_agent_are_made_at_once_than_its_pool_has_slots(
    processes: Processes, narrow: Narrow
) -> None:
    processes.pools = {"narrow": PoolSettings(3)}
    narrow.end(20)
    async with processes.running(w=workflow(STEP)) as workflows:
        handles = [await workflows.start("w", {"text": str(number)}) for number in range(20)]
        assert {(await handle.result()).status for handle in handles} == {"done"}
    assert narrow.most == 3


async def test_an_agent_without_a_pool_waits_for_nobody(processes: Processes, narrow: Narrow) -> None:
    definitions = {"w": workflow(STEP), "free": workflow({**STEP, "agent": "echo"})}
    async with processes.running(None, **definitions) as workflows:
        for _ in range(3):
            await workflows.start("w", {"text": "hi"})
        assert (await workflows.run("free", {"text": "hi"})).status == "done"


async def test_who_waits_goes_by_the_workflows_strategy(processes: Processes, narrow: Narrow) -> None:
    definitions = {"w": workflow(STEP, execution={"strategy": "priority"})}
    async with processes.running(None, **definitions) as workflows:
        handles = [await workflows.start("w", {"text": "first"})]
        await narrow.begun(1)
        handles += [await workflows.start("w", {"text": str(number)}, priority=number) for number in (1, 3, 2)]
        await anyio.wait_all_tasks_blocked()
        narrow.end(4)
        for handle in handles:
            await handle.result()
    assert narrow.texts == ["first", "3", "2", "1"]


async def test_the_nearest_deadline_goes_first_whoever_started_it_and_whatever_its_priority(
    processes: Processes, narrow: Narrow
) -> None:
    now = time.time()
    async with processes.running(w=workflow(STEP, timeout=7200.0)) as workflows:
        handles = [await workflows.start("w", {"text": "first"})]
        await narrow.begun(1)
        handles += [
            await workflows.start("w", {"text": text}, priority=5, deadline=now + wanted)
            for text, wanted in (("in an hour", 3600.0), ("in a minute", 60.0))
        ]
        await anyio.wait_all_tasks_blocked()
        narrow.end(3)
        for handle in handles:
            await handle.result()
    assert narrow.texts == ["first", "in a minute", "in an hour"]


async def test_a_crisis_is_not_held_up_by_a_full_pool(processes: Processes, narrow: Narrow) -> None:
    processes.pools = {"narrow": PoolSettings(1, queue=1), "crisis": PoolSettings(1, queue=1, reserved=True)}
    definitions = {"w": workflow(STEP), "help": workflow(STEP, execution={"pool": "crisis"})}
    async with processes.running(None, **definitions) as workflows:
        for _ in range(2):
            await workflows.start("w", {"text": "story"})
        await narrow.begun(1)
        for _ in range(3):
            await workflows.start("help", {"text": "help"})
        await anyio.wait_all_tasks_blocked()
        assert narrow.texts == ["story", "help", "help"]


async def test_no_breaker_holds_up_a_crisis(processes: Processes, narrow: Narrow) -> None:
    processes.pools = {"crisis": PoolSettings(1, reserved=True)}
    narrow.end(2)
    settings = BreakerSettings(failures=2, rate=None)
    async with breakers_on(MemoryBreakerStore(time.time), settings, clock=time.time).running() as breakers:
        processes.breakers = breakers
        await breakers.trip("agent:narrow", "by hand")
        await breakers.trip("workflow:help", "by hand")
        definitions = {"w": workflow(STEP), "help": workflow(STEP, execution={"pool": "crisis"})}
        async with processes.running(None, **definitions) as workflows:
            assert (await workflows.run("w", {"text": "story"})).error == "breaker_open"
            assert (await workflows.run("help", {"text": "help"})).status == "done"


async def test_a_full_pool_opens_no_breaker(processes: Processes, narrow: Narrow) -> None:
    processes.pools = {"narrow": PoolSettings(1, queue=1)}
    settings = BreakerSettings(failures=2, rate=None)
    async with breakers_on(MemoryBreakerStore(time.time), settings, clock=time.time).running() as breakers:
        processes.breakers = breakers
        async with processes.running(w=workflow(STEP)) as workflows:
            handles = [await workflows.start("w", {"text": str(number)}) for number in range(2)]
            await anyio.wait_all_tasks_blocked()
            refused = [(await workflows.run("w", {"text": "too many"})).error for _ in range(5)]
            narrow.end(2)
            assert [(await handle.result()).status for handle in handles] == ["done", "done"]
    assert refused == ["overloaded"] * 5


async def test_where_too_many_wait_a_step_has_failed_and_may_be_tried_again(
    processes: Processes, narrow: Narrow
) -> None:
    processes.pools = {"narrow": PoolSettings(1, queue=1)}
    stubborn = workflow({**STEP, "retry": {"attempts": 50, "delay": 0.01, "factor": 1, "on": ["overloaded"]}})
    async with processes.running(w=workflow(STEP), stubborn=stubborn) as workflows:
        handles = [await workflows.start("w", {"text": str(number)}) for number in range(2)]
        await anyio.wait_all_tasks_blocked()
        refused = await workflows.run("w", {"text": "too many"})
        assert (refused.status, refused.error) == ("failed", "overloaded")
        last = await workflows.start("stubborn", {"text": "again"})
        narrow.end(3)
        assert [(await handle.result()).status for handle in (*handles, last)] == ["done"] * 3


async def test_a_step_with_a_fallback_gives_it_where_its_run_would_be_late(
    processes: Processes, narrow: Narrow
) -> None:
    definitions = {"w": workflow(STEP), "mood": workflow({**STEP, "fallback": {"text": "calm"}})}
    async with processes.running(None, **definitions) as workflows:
        first = await workflows.start("w", {"text": "first"})
        await narrow.begun(1)
        late = await workflows.run("mood", {"text": "late"}, deadline=time.time() - 1)
        assert (late.status, late.degraded, late.steps[0].error) == ("done", ("a",), "late")
        narrow.end()
        assert (await first.result()).status == "done"
    assert narrow.texts == ["first"]


async def test_what_waits_for_a_slot_uses_up_none_of_its_steps_time(processes: Processes, narrow: Narrow) -> None:
    async with processes.running(w=workflow({**STEP, "timeout": 0.2})) as workflows:
        first = await workflows.start("w", {"text": "first"})
        await narrow.begun(1)
        second = await workflows.start("w", {"text": "second"})
        assert (await first.result()).error == "timeout"
        narrow.end()
        assert (await second.result()).status == "done"


async def test_a_cancelled_run_leaves_the_queue_and_its_slot(processes: Processes, narrow: Narrow) -> None:
    async with processes.running(w=workflow(STEP)) as workflows:
        first = await workflows.start("w", {"text": "1"})
        await narrow.begun(1)
        second, third = [await workflows.start("w", {"text": text}) for text in ("2", "3")]
        await anyio.wait_all_tasks_blocked()
        await second.cancel()
        await first.cancel()
        await narrow.begun(2)
        narrow.end()
        assert (await third.result()).status == "done"
    assert narrow.texts == ["1", "3"]
