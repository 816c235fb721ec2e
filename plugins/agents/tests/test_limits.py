"""Calls that wait, take too long, are too many or too large."""

from __future__ import annotations

import time

import anyio
import pytest

from tta_agents import AgentError, AgentId, StepContext
from tta_agents.memory import MemoryReplies
from tta_agents.testing import Answer, Ask, Echo
from tta_agents.testing.echo import ASK, ECHO, blocking, calling, error_of, eventually, into
from tta_agents.testing.processes import TYPES, Connection, Processes
from tta_kernel.testing.numbers import NO_COUNTS, NO_DURATIONS
from tta_messages import MessagesConfig
from tta_messages.memory import MemoryMessages


async def test_no_more_calls_run_at_once_than_configured(processes: Processes) -> None:
    work, free = blocking()
    caller, server = await processes.agents(), await processes.agents(concurrency=1)
    async with server.serve(echo := Echo(work)), calling(caller, "a", "b", "c") as replies:
        await echo.begun.wait()
        await anyio.wait_all_tasks_blocked()
        assert len(echo.requests) == 1
        free.set()
    assert len(replies) == 3


async def test_a_call_that_is_cancelled_before_anybody_took_it_is_withdrawn(processes: Processes) -> None:
    work, free = blocking()
    caller, server = await processes.agents(), await processes.agents(concurrency=1)
    async with server.serve(echo := Echo(work)), calling(caller, "first") as replies:
        await echo.begun.wait()
        with anyio.move_on_after(0.1):
            await caller.call(ECHO, Ask("second"), key="second")
        stats = (await processes.messages.stats("agents.echo"))["agents.echo"]
        assert sum(stats.waiting.values()) == 0
        free.set()
    assert [request.text for request in echo.requests] == ["first"]
    assert len(replies) == 1


async def test_a_call_past_its_time_in_the_queue_is_never_executed(processes: Processes) -> None:
    work, free = blocking()
    connection = Connection(processes.messages)
    connection.keeps = True  # so that the call can't be taken back
    caller, server = await processes.agents(messages=connection), await processes.agents(concurrency=1)
    async with server.serve(echo := Echo(work)), calling(await processes.agents(), "first"):
        await echo.begun.wait()
        with anyio.move_on_after(0.05):
            await caller.call(ECHO, Ask("second"), key="second")

        async def expired() -> bool:
            return (await processes.messages.stats("agents.echo"))["agents.echo"].expired == 1

        await eventually(expired)
        free.set()
    assert [request.text for request in echo.requests] == ["first"]


async def test_a_call_that_nobody_took_in_its_time_is_no_dead_letter(processes: Processes) -> None:
    work, free = blocking()
    caller, server = await processes.agents(), await processes.agents(concurrency=1)
    async with server.serve(echo := Echo(work)), calling(caller, "first"):
        await echo.begun.wait()
        with anyio.move_on_after(0.1) as patience:
            await caller.call(ECHO, Ask("second"), key="second")
        stats = (await processes.messages.stats("agents.echo"))["agents.echo"]
        free.set()
    assert patience.cancelled_caught
    assert stats.dead == sum(stats.waiting.values()) == 0


async def test_a_call_is_taken_by_a_process_whose_clock_is_an_hour_ahead(processes: Processes) -> None:
    processes.messages = MemoryMessages(MessagesConfig(), TYPES, clock=lambda: time.time() - 3600)
    caller, server = await processes.agents(), await processes.agents()
    async with server.serve(Echo()):
        with anyio.fail_after(5):
            reply = await caller.call(ECHO, ASK, key="k")
    assert reply.decode(Answer).text == "x"


async def test_a_full_queue_is_overloaded(processes: Processes) -> None:
    work, free = blocking()
    caller, server = await processes.agents(), await processes.agents(concurrency=1, queue={"max_length": 1})
    async with server.serve(echo := Echo(work)), calling(caller, "first"):
        await echo.begun.wait()
        error = await error_of(caller)
        free.set()
    assert (error.code, error.retryable) == ("overloaded", True)


async def test_a_call_without_a_deadline_ends_at_the_limit(processes: Processes) -> None:
    await processes.announce(AgentId("echo", "one"))
    caller = await processes.agents(call_limit="50ms")
    with anyio.CancelScope(shield=True), pytest.raises(AgentError) as caught:  # from the deadline of the fixture
        await caller.call(ECHO, ASK, key="k")
    assert (caught.value.code, caught.value.retryable) == ("timeout", True)


async def test_a_call_of_another_deployment_s_agent_ends_at_its_declared_time(processes: Processes) -> None:
    await processes.announce(AgentId("echo", "one"))
    caller = await processes.agents(remote={"echo": {"timeout": "50ms"}})
    error = await error_of(caller)
    assert (error.code, error.retryable) == ("timeout", True)
    with anyio.move_on_after(0.01) as scope:  # The caller's deadline is its own still.
        await caller.call(ECHO, ASK, key="k")
    assert scope.cancelled_caught


async def test_a_call_for_an_agent_that_vanishes_is_not_served_and_withdrawn(processes: Processes) -> None:
    one = AgentId("echo", "one")
    await processes.announce(one)
    caller = await processes.agents()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(processes.registry.deregister, one)
        error = await error_of(caller, to=one)
    assert (error.code, error.retryable) == ("not_served", True)
    stats = await processes.messages.stats("agents.echo/one")
    assert sum(stats["agents.echo/one"].waiting.values()) == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_or_piece_that_cannot_be_sent_is_an_error(processes: Processes, *, stream: bool) -> None:
    processes.messages = MemoryMessages(MessagesConfig(max_size=2000), TYPES)

    heard: list[str] = []

    async def work(request: Ask, ctx: StepContext) -> Answer:
        if stream:
            await ctx.emit("x" * 3000)
        return Answer("x" * 3000)

    caller = await processes.agents()
    async with (await processes.agents()).serve(Echo(work)):
        with pytest.raises(AgentError) as caught:
            await caller.call(ECHO, Ask("x"), key="k", on_piece=into(heard) if stream else None)
    assert heard == []
    assert caught.value.code == "too_large"


async def test_a_request_that_is_too_large_is_refused(processes: Processes) -> None:
    processes.messages = MemoryMessages(MessagesConfig(max_size=2000), TYPES)
    caller = await processes.agents()
    async with (await processes.agents()).serve(echo := Echo()):
        error = await error_of(caller, Ask("secret" * 1000))
    assert (error.code, error.retryable) == ("too_large", False)
    assert "secret" not in str(error)
    assert echo.requests == []


@pytest.mark.parametrize("seconds", [*NO_DURATIONS, 0.0])
def test_an_agent_is_not_declared_with_a_timeout_that_is_no_time(seconds: float) -> None:
    with pytest.raises(ValueError, match="the timeout of agent 'echo' is a number of seconds, more than 0"):
        Echo(timeout=seconds)


@pytest.mark.parametrize("kept", NO_COUNTS)
def test_a_number_of_replies_that_is_none_is_a_mistake(kept: int) -> None:
    with pytest.raises(ValueError, match="kept"):
        MemoryReplies(kept)
