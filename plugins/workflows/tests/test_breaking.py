"""Agents and workflows that fail again and again: they aren't called, or begun, until one call shows how it goes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tta_agents import AgentError
from tta_breakers import Breakers, BreakerSettings, Permit, Refused
from tta_breakers.memory import MemoryBreakerStore
from tta_breakers.testing import Time, breakers_on, fail, given
from tta_workflows.definition import Workflow
from tta_workflows.memory import MemoryJournal
from tta_workflows.records import Failed
from tta_workflows.runs import Run
from tta_workflows.testing import Call, FakeAgents, Processes, failing, workflow

pytestmark = pytest.mark.anyio
TWO_FAILURES = BreakerSettings(failures=2, rate=None, open=30, jitter=0)


def step(id: str, agent: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "agent": agent, "input": {"n": "input.n"}, **more}


ONE = workflow(step("a", "shaky"))


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
async def breakers(clock: Time) -> AsyncIterator[Breakers]:
    async with breakers_on(MemoryBreakerStore(clock), TWO_FAILURES, clock=clock).running() as breakers:
        yield breakers


@pytest.fixture
def processes(breakers: Breakers) -> Processes:
    return Processes(MemoryJournal(lambda: 0.0), breakers=breakers)


async def run(processes: Processes, definition: Workflow = ONE, **more: Any) -> Run:
    with anyio.fail_after(10):
        async with processes.running(w=definition) as executor:
            return await executor.run("w", {"n": 1}, **more)


def agents_of(processes: Processes, **work: Any) -> FakeAgents:
    processes.agents.work.update(work)
    return processes.agents


async def test_an_agent_that_fails_again_and_again_is_not_called_any_more(processes: Processes) -> None:
    agents = agents_of(processes, shaky=failing(*["failed"] * 9))
    for number in range(2):
        assert (await run(processes, key=str(number))).error == "failed"
    await processes_breakers(processes).reset("workflow:w")
    found = await run(processes)
    assert (found.status, found.error, len(agents.calls)) == ("failed", "breaker_open", 2)
    assert found.steps[0].detail == "shaky is not called: 2 calls in a row have failed; it is tried again in 30 s"


def processes_breakers(processes: Processes) -> Breakers:
    assert processes.breakers is not None
    return processes.breakers


async def test_one_call_tries_it_and_closes(processes: Processes, breakers: Breakers, clock: Time) -> None:
    agents = agents_of(processes, shaky=failing("failed", "failed"))
    await fail(breakers.breaker("agent:shaky"), 2)
    clock.now += 31
    both = workflow(step("a", "shaky"), step("b", "shaky", fallback={}))
    with_fallback = workflow(step("a", "shaky", fallback={}), step("b", "shaky", fallback={}))
    assert (await run(processes, with_fallback)).degraded == ("a", "b")
    assert len(agents.calls) == 1, "one probe, and it failed"
    clock.now += 61
    agents.work["shaky"] = failing()
    assert (await run(processes, both)).status == "done"
    assert breakers.breaker("agent:shaky").record.clean


async def test_where_it_is_open_a_step_gives_its_fallback_and_the_run_says_so(
    processes: Processes, breakers: Breakers
) -> None:
    await breakers.trip("agent:shaky", "no memory is left")
    found = await run(processes, workflow(step("a", "shaky", fallback={"n": 7}), output={"n": "steps.a.n"}))
    assert (found.status, found.output, found.degraded) == ("done", {"n": 7}, ("a",))
    assert (found.steps[0].status, found.steps[0].error) == ("degraded", "breaker_open")
    assert processes.agents.calls == []


async def test_a_step_may_wait_for_it(processes: Processes, breakers: Breakers) -> None:
    async def closes(call: Call) -> Mapping[str, Any]:
        return call.request

    agents_of(processes, shaky=closes)
    await breakers.trip("agent:shaky", "by hand")
    waits = workflow(step("a", "shaky", retry={"attempts": 100, "delay": 0.01, "factor": 1, "on": ["breaker_open"]}))
    with anyio.fail_after(10):
        async with processes.running(w=waits) as executor:
            handle = await executor.start("w", {"n": 1})
            while not any(isinstance(each, Failed) for each in await executor.history(handle.id)):
                await anyio.lowlevel.checkpoint()
            await breakers.reset("agent:shaky")
            assert (await handle.result()).status == "done"


@pytest.mark.parametrize("code", ["bad_request", "denied", "too_large", "breaker_open"])
async def test_what_is_the_caller_s_fault_or_a_refusal_is_no_failure(
    processes: Processes, breakers: Breakers, code: str
) -> None:
    agents_of(processes, shaky=failing(*[code] * 5, retryable=False))
    for number in range(5):
        assert (await run(processes, key=str(number))).error == code
    assert breakers.breaker("agent:shaky").record.clean
    assert breakers.breaker("workflow:w").record.clean


async def test_that_an_agent_may_do_it_later_is_a_failure(processes: Processes, breakers: Breakers) -> None:
    agents_of(processes, shaky=failing("tired", "tired", retryable=True))
    for number in range(2):
        assert (await run(processes, key=str(number))).error == "tired"
    assert breakers.breaker("agent:shaky").record.status == "open"


async def test_a_call_that_takes_too_long_is_a_failure_and_one_that_is_cancelled_is_not(
    processes: Processes, breakers: Breakers
) -> None:
    async def hang(call: Call) -> Mapping[str, Any]:
        await anyio.sleep_forever()
        raise AssertionError

    agents_of(processes, shaky=hang)
    with anyio.fail_after(10):
        async with processes.running(slow=workflow(step("a", "shaky", timeout=0.01)), w=ONE) as executor:
            handle = await executor.start("w", {"n": 1})
            while not processes.agents.calls:
                await anyio.lowlevel.checkpoint()
            assert (await handle.cancel()).status == "cancelled"
            assert breakers.breaker("agent:shaky").record.clean
            assert (await executor.run("slow", {"n": 1})).error == "timeout"
    assert breakers.breaker("agent:shaky").record.failures == 1


async def test_whoever_takes_a_run_over_makes_its_call_again_though_the_breaker_is_open(
    processes: Processes, breakers: Breakers
) -> None:
    async def once(call: Call) -> Mapping[str, Any]:
        if len(processes.agents.calls) == 1:
            await anyio.sleep_forever()
        return call.request

    agents_of(processes, shaky=once)
    with anyio.fail_after(10):
        async with processes.running(w=ONE) as executor:
            handle = await executor.start("w", {"n": 1})
            while not processes.agents.calls:
                await anyio.lowlevel.checkpoint()
        await breakers.trip("agent:shaky", "by hand")
        async with processes.running(w=ONE) as executor:
            again = await executor.find(handle.id)
            assert again is not None
            assert (await again.result()).status == "done"


# Whole workflows.


async def test_a_workflow_that_fails_again_and_again_is_not_begun_any_more(
    processes: Processes, breakers: Breakers
) -> None:
    async def fails(call: Call) -> Mapping[str, Any]:
        raise AgentError("bad_output")

    agents_of(processes, shaky=fails, other=fails)
    assert (await run(processes, key="1")).status == "failed"
    assert (await run(processes, workflow(step("a", "other")), key="2")).status == "failed"
    refused = await run(processes)
    assert (refused.status, refused.error) == ("refused", "breaker_open")
    assert refused.detail == "2 calls in a row have failed; it is tried again in 30 s"
    assert len(processes.agents.calls) == 2


async def test_a_run_that_there_is_already_is_found_though_no_other_may_begin(
    processes: Processes, breakers: Breakers
) -> None:
    agents_of(processes, shaky=failing())
    assert (await run(processes, key="k")).status == "done"
    await breakers.trip("workflow:w", "by hand")
    assert (await run(processes, key="k")).status == "done"
    assert (await run(processes, key="other")).error == "breaker_open"


async def test_one_run_tries_it_and_closes(processes: Processes, breakers: Breakers, clock: Time) -> None:
    agents_of(processes, shaky=failing())
    await fail(breakers.breaker("workflow:w"), 2)
    clock.now += 31
    with anyio.fail_after(10):
        async with processes.running(w=ONE) as executor:
            first = await executor.start("w", {"n": 1})
            assert (await executor.run("w", {"n": 1})).error == "breaker_open"
            assert (await first.result()).status == "done"
            assert (await executor.run("w", {"n": 1})).status == "done"


async def test_a_run_that_could_not_begin_gives_its_place_as_the_probe_back(
    processes: Processes, breakers: Breakers, clock: Time
) -> None:
    agents_of(processes, shaky=failing())
    assert (await run(processes, key="k", owner="somebody")).status == "done"
    await fail(breakers.breaker("workflow:w"), 2)
    clock.now += 31
    assert (await run(processes, key="k", owner="somebody else")).error == "key_taken"
    assert (await given(breakers.breaker("workflow:w"))).probe


@pytest.mark.parametrize("name", ["x" * 300, "line\nend"])
async def test_any_name_of_an_agent_has_a_breaker(processes: Processes, breakers: Breakers, name: str) -> None:
    agents_of(processes, **{name: failing(*["failed"] * 9)})
    found = [await run(processes, workflow(step("a", name, fallback={})), key=str(number)) for number in range(3)]
    assert [each.steps[0].error for each in found] == ["failed", "failed", "breaker_open"]
    assert not isinstance(breakers.breaker("agent:other").allow(), Refused)
    assert isinstance(breakers.breaker("workflow:w").allow(), Permit)
