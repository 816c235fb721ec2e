"""Agents, readers, registries and stores that let out what is no `Exception`, beyond what each call promises."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest

from tta_agents import AgentCard, AgentError, AgentId, StepContext
from tta_agents.memory import MemoryRegistry
from tta_agents.testing import Answer, Ask, Echo
from tta_agents.testing.echo import ASK, CANCELLED, ECHO, FOREIGN, Work, error_of, eventually, into, telling
from tta_agents.testing.processes import Connection, Processes
from tta_kernel.isolation import is_interrupt
from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers

LONG = 10.0


@pytest.mark.parametrize("kind", FOREIGN)
async def test_an_agent_that_is_cancelled_from_elsewhere_again_and_again_is_degraded(
    processes: Processes, kind: type[BaseException]
) -> None:
    async def work(request: Ask, ctx: StepContext) -> Answer:
        raise kind

    caller, server = await processes.agents(), await processes.agents(degraded_after=2)
    async with server.serve(Echo(work)):
        for key in "ab":
            await error_of(caller, key=key)
        assert [card.status for card in await processes.registry.list()] == ["degraded"]

        async def settled() -> bool:
            stats = (await processes.messages.stats("agents.echo"))["agents.echo"]
            return (stats.held, stats.acknowledged) == (0, 2)

        await eventually(settled)


async def test_the_cancellation_of_a_call_is_no_fault_of_its_agent(processes: Processes) -> None:
    async def work(request: Ask, ctx: StepContext) -> Answer:
        await anyio.sleep_forever()
        return Answer("")

    agents = await processes.agents(degraded_after=1)
    async with agents.serve(Echo(work)):
        with anyio.move_on_after(0.01):
            await agents.call(ECHO, ASK, key="k")
        [statistics] = agents.statistics().values()
        assert [card.status for card in await processes.registry.list()] == ["idle"]
    assert (statistics.errors, statistics.running) == (0, 0)


async def test_messages_that_are_cancelled_from_elsewhere_fail_the_call(processes: Processes) -> None:
    class Cancelling(Connection):
        def __getattr__(self, name: str) -> Any:
            if name == "send":
                raise CANCELLED
            return super().__getattr__(name)

    await processes.registry.register(AgentCard(AgentId("echo", "one"), process="another", shared=True))
    caller = await processes.agents(messages=Cancelling(processes.messages))
    error = await error_of(caller)
    assert (error.code, error.retryable) == ("failed", True)


class Stateful(Echo):
    """An agent whose state lets out what is no `Exception`."""

    kind: type[BaseException] = SystemExit

    def export_state(self) -> Any:
        raise self.kind

    def import_state(self, state: Any) -> None:
        raise self.kind


@pytest.mark.parametrize("kind", FOREIGN)
async def test_a_state_that_exits_costs_no_more_than_a_warning(
    processes: Processes, kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    class Remembering(MemoryRegistry):
        async def state(self, id: Any) -> bytes:
            return b"\xc0"

    processes.registry = Remembering()
    agents = await processes.agents()
    echo = Stateful()
    echo.kind = kind
    async with agents.serve(echo, instance="one"):
        reply = await agents.call(ECHO, ASK, key="k")
    assert reply.output["text"] == "x"
    assert f"begins anew: its state raised {kind.__name__}" in caplog.text
    assert f"reports no state: it raised {kind.__name__}" in caplog.text


async def test_what_a_reader_raises_is_no_fault_of_its_agent(processes: Processes) -> None:
    async def raises(piece: str) -> None:
        raise ValueError("secret")

    async def work(request: Ask, ctx: StepContext) -> Answer:
        try:
            await ctx.emit("x")
        except Exception:  # noqa: BLE001 - it hides what isn't its own
            pytest.fail("an agent saw what its reader raised")
        return Answer("x")

    agents = await processes.agents(degraded_after=1)
    async with agents.serve(Echo(work)):
        with pytest.raises(AgentError, match="failed: the call's on_piece raised ValueError"):
            await agents.call(ECHO, ASK, key="k", on_piece=raises)
        [statistics] = agents.statistics().values()
        assert [card.status for card in await processes.registry.list()] == ["idle"]
    assert (statistics.errors, statistics.running) == (0, 0)


async def told_by(processes: Processes, stranger: Stranger, work: Work, callback: str, *, remote: bool) -> None:
    """Let a stranger be told of a call; look what becomes of it, and that the next call is answered."""
    server = await processes.agents()
    caller = await processes.agents() if remote else server
    told: dict[str, Any] = {callback: stranger}
    async with server.serve(Echo(work, timeout=10.0)):
        error: AgentError | None = None
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                await caller.call(ECHO, ASK, key="odd", **told)
        else:
            limit = 4 * LIMIT if stranger.outcome in (Outcome.TIME_LIMIT, Outcome.NAMED) else 10.0
            with anyio.move_on_after(limit):
                try:
                    await caller.call(ECHO, ASK, key="odd", **told)
                except AgentError as exc:
                    error = exc
        heard: list[str] = []
        reply = await caller.call(ECHO, ASK, key="well", on_piece=into(heard))
        [statistics] = server.statistics().values()
    assert (reply.output["text"], "".join(heard)) == ("well", "well")
    assert (statistics.running, statistics.errors) == (0, 0)
    if stranger.outcome is Outcome.FAILURE:
        assert error is not None
        code = "undo_refused" if callback == "on_undo" else "failed"
        assert (error.code, error.retryable) == (code, True)
        assert f"the call's {callback} raised" in error.detail


@pytest.mark.boundary("tta_agents.Agents.call.on_piece")
@pytest.mark.parametrize("stranger", strangers("async"), ids=str)
@pytest.mark.parametrize("remote", [False, True], ids=["local", "remote"])
async def test_whatever_a_reader_does_its_call_ends_and_the_next_is_answered(
    processes: Processes, stranger: Stranger, *, remote: bool
) -> None:
    await told_by(processes, stranger, telling("well"), "on_piece", remote=remote)


@pytest.mark.boundary("tta_agents.Agents.call.on_undo")
@pytest.mark.parametrize("stranger", strangers("async"), ids=str)
@pytest.mark.parametrize("remote", [False, True], ids=["local", "remote"])
async def test_whatever_takes_undos_does_its_call_ends_and_the_next_is_answered(
    processes: Processes, stranger: Stranger, *, remote: bool
) -> None:
    async def work(request: Ask, ctx: StepContext) -> Answer:
        await ctx.on_rollback(ECHO, {"text": request.text})
        await ctx.emit("well")
        return Answer("well")

    await told_by(processes, stranger, work, "on_undo", remote=remote)


@pytest.mark.boundary("tta_agents.Agents.call.on_beat")
@pytest.mark.parametrize("stranger", strangers("plain"), ids=str)
async def test_whatever_hears_signs_of_life_does_its_call_ends_and_the_next_is_answered(
    processes: Processes, stranger: Stranger
) -> None:
    # From another process, of which a call as quick as this hears none, they come the same way.
    async def work(request: Ask, ctx: StepContext) -> Answer:
        ctx.heartbeat()
        await ctx.emit("well")
        return Answer("well")

    await told_by(processes, stranger, work, "on_beat", remote=False)


@pytest.mark.boundary("tta_agents.Agent", "tta_agents.Agents.serve.agent")
@pytest.mark.parametrize(
    "stranger",
    [each for each in strangers(returns=Answer, answer=Answer("late")) if each.outcome is not Outcome.STOP],
    ids=str,
)
@pytest.mark.parametrize("remote", [False, True], ids=["local", "remote"])
async def test_whatever_an_agent_does_its_call_ends_and_the_next_is_answered(
    processes: Processes, stranger: Stranger, *, remote: bool
) -> None:
    async def work(request: Ask, ctx: StepContext) -> Any:
        return await stranger() if request.text == "odd" else Answer("well")

    server = await processes.agents()
    caller = await processes.agents() if remote else server
    async with server.serve(Echo(work, timeout=LIMIT)):
        error: AgentError | None = None
        try:
            await caller.call(ECHO, Ask("odd"), key="odd")
        except AgentError as exc:
            error = exc
        reply = await caller.call(ECHO, Ask("x"), key="well")
        [statistics] = server.statistics().values()
    assert reply.output["text"] == "well"
    assert statistics.running == 0
    if stranger.outcome is Outcome.FAILURE:
        assert error is not None
        assert error.code in ("failed", "bad_output")
        assert statistics.errors == 1


@pytest.mark.parametrize("stranger", [each for each in strangers() if each.outcome is Outcome.STOP], ids=str)
async def test_an_interrupt_within_an_agent_is_no_fault_of_its(processes: Processes, stranger: Stranger) -> None:
    async def work(request: Ask, ctx: StepContext) -> Any:
        return await stranger()

    agents = await processes.agents()
    async with agents.serve(Echo(work)):
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            await agents.call(ECHO, ASK, key="k")
        [statistics] = agents.statistics().values()
    assert (statistics.errors, statistics.running) == (0, 0)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_interrupt_in_an_agent_that_another_process_calls_is_an_orderly_stop(backend: str, *, stream: bool) -> None:
    async def work(request: Ask, ctx: StepContext) -> Any:
        await anyio.lowlevel.checkpoint()
        raise KeyboardInterrupt

    async def listen(piece: str) -> None:
        pytest.fail("it says nothing")

    async def interrupted(processes: Processes, stack: AsyncExitStack) -> None:
        async with stack:
            server, caller = await processes.agents(), await processes.agents()
            async with server.serve(Echo(work)):
                await caller.call(ECHO, ASK, key="k", on_piece=listen if stream else None)

    async def main() -> None:
        processes = Processes(stack := AsyncExitStack())
        with anyio.fail_after(LONG), pytest.raises((KeyboardInterrupt, BaseExceptionGroup)) as caught:
            await interrupted(processes, stack)
        interrupts.append(caught.value)
        left.extend(await processes.registry.list())
        left.extend(await processes.messages.receive("agents.echo"))

    interrupts: list[BaseException] = []
    left: list[object] = []
    anyio.run(main, backend=backend)
    # It came to whoever runs the kernel, and not past everybody out of the event loop.
    [interrupt] = interrupts
    assert is_interrupt(interrupt)
    # The agent has left, and so has the call, whose caller was cancelled, too.
    assert left == []
