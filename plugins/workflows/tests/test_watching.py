"""What an operator hears of runs that take long, before they fail."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from tta_workflows.engine import Settings
from tta_workflows.memory import MemoryJournal
from tta_workflows.runs import RunQuiet, RunSlow, StepSlow
from tta_workflows.testing import Call, FakeAgents, Processes, VirtualClock, echo, workflow

STEP = {"id": "a", "agent": "slow", "input": {"text": "input.text"}}


class Slow:
    """An agent that is at work until a test lets it go on."""

    def __init__(self) -> None:
        self.begun, self.go = anyio.Event(), anyio.Event()

    async def work(self, call: Call) -> Mapping[str, Any]:
        self.begun.set()
        await self.go.wait()
        return call.request


async def test_most_of_a_runs_time_is_said_once_to_be_over(caplog: pytest.LogCaptureFixture) -> None:
    slow, clock = Slow(), VirtualClock()
    processes = Processes(MemoryJournal(clock.time), FakeAgents({"slow": slow.work}), clock=clock)
    with anyio.fail_after(10):
        async with processes.running(w=workflow(STEP, timeout=100.0)) as workflows:
            handle = await workflows.start("w", {"text": "hi"}, key="r", session="s", owner="ann")
            await slow.begun.wait()
            for seconds, told in ((1.0, 0), (73.0, 0), (1.5, 1), (20.0, 1)):
                await anyio.wait_all_tasks_blocked()
                clock.advance(seconds)
                await anyio.wait_all_tasks_blocked()
                assert len([event for event in processes.events if isinstance(event, RunSlow)]) == told
            clock.advance(10.0)
            assert (await handle.result()).error == "timeout"
    [event] = [event for event in processes.events if isinstance(event, RunSlow)]
    assert (event.run, event.limit, event.session, event.owner) == ("r", 100.0, "s", "ann")
    assert "run r of workflow w has taken 75 % of its 100 s" in caplog.text


async def test_most_of_an_attempts_time_is_said_once_to_be_over(caplog: pytest.LogCaptureFixture) -> None:
    slow, clock = Slow(), VirtualClock()
    processes = Processes(MemoryJournal(clock.time), FakeAgents({"slow": slow.work}), clock=clock)
    with anyio.fail_after(10):
        async with processes.running(w=workflow({**STEP, "timeout": 100.0}, timeout=1000.0)) as workflows:
            handle = await workflows.start("w", {"text": "hi"}, key="r", session="s", owner="ann")
            await slow.begun.wait()
            for seconds, told in ((1.0, 0), (73.0, 0), (1.5, 1), (20.0, 1)):
                await anyio.wait_all_tasks_blocked()
                clock.advance(seconds)
                await anyio.wait_all_tasks_blocked()
                assert len([event for event in processes.events if isinstance(event, StepSlow)]) == told
            slow.go.set()
            assert (await handle.result()).status == "done"
    [event] = [event for event in processes.events if isinstance(event, StepSlow)]
    assert (event.run, event.step, event.attempt, event.limit) == ("r", "a", 1, 100.0)
    assert (event.session, event.owner) == ("s", "ann")
    assert "step a of run r of workflow w has taken 75 % of its 100 s" in caplog.text


@pytest.mark.parametrize("step", [
    {"id": "a", "signal": "person", "timeout": 100.0},
    {"id": "a", "workflow": "inner", "timeout": 100.0, "input": {"text": "input.text"}},
])  # fmt: skip
async def test_whoever_waits_for_an_answer_or_for_what_stands_within_is_warned_of_the_limit(
    step: Mapping[str, Any],
) -> None:
    slow, clock = Slow(), VirtualClock()
    processes = Processes(MemoryJournal(clock.time), FakeAgents({"slow": slow.work}), clock=clock)
    with anyio.fail_after(10):
        outer, inner = workflow(step, timeout=1000.0), workflow(STEP, timeout=900.0)
        async with processes.running(w=outer, inner=inner) as workflows:
            handle = await workflows.start("w", {"text": "hi"}, key="r")
            await anyio.wait_all_tasks_blocked()
            clock.advance(76.0)
            await anyio.wait_all_tasks_blocked()
            slow.go.set()
            await workflows.signal("r", "a", {})
            assert (await handle.result()).status == "done"
    [event] = [event for event in processes.events if isinstance(event, StepSlow)]
    assert (event.step, event.limit) == ("a", 100.0)


async def test_an_attempt_that_is_over_in_time_is_not_warned_of() -> None:
    clock = VirtualClock()
    processes = Processes(MemoryJournal(clock.time), FakeAgents({"slow": echo}), clock=clock)
    async with processes.running(w=workflow({**STEP, "timeout": 100.0})) as workflows:
        assert (await workflows.run("w", {"text": "hi"})).status == "done"
        clock.advance(99.0)
        await anyio.wait_all_tasks_blocked()
    assert not [event for event in processes.events if isinstance(event, StepSlow)]


async def test_a_run_of_which_nothing_comes_is_said_once_to_be_quiet(caplog: pytest.LogCaptureFixture) -> None:
    slow = Slow()
    settings = Settings(lease=1.0, grace=0.1, quiet_after=0.05)
    processes = Processes(MemoryJournal(time.time), FakeAgents({"slow": slow.work}), settings=settings)

    def quiet() -> list[RunQuiet]:
        return [event for event in processes.events if isinstance(event, RunQuiet)]

    with anyio.fail_after(10):
        async with processes.running(w=workflow(STEP), waits=workflow({"id": "a", "signal": "x"})) as workflows:
            await workflows.start("waits", {}, key="waits")
            handle = await workflows.start("w", {"text": "hi"}, key="r")
            while not quiet():
                await anyio.lowlevel.checkpoint()
            await workflows.start("w", {"text": "hi"}, key="later")
            while len(quiet()) < 2:  # Long enough for the first one to be told again.
                await anyio.lowlevel.checkpoint()
            slow.go.set()
            await handle.result()
    event, later = quiet()
    assert later.run == "later"
    assert (event.run, event.steps) == ("r", ("a",))
    assert event.seconds >= 0.05
    assert "run r of workflow w has come no further for 0 s: a" in caplog.text
