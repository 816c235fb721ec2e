"""Calls within one process, as far as the contract of all ways to call doesn't say it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from tta_agents import (
    AGENT_REGISTRY,
    AGENTS,
    AgentCalled,
    AgentDeregistered,
    AgentId,
    AgentRegistered,
    Agents,
    AgentsMemory,
    AgentSpec,
    AgentsPlugin,
    Capability,
    StepContext,
)
from tta_agents.testing import Answer, Ask, Echo
from tta_agents.testing.echo import ECHO, error_of, eventually
from tta_kernel import Context, Kernel, KernelSettings, NoConfig, Plugin, PluginSettings, hookimpl
from tta_kernel.errors import delays


@asynccontextmanager
async def running(**config: Any) -> AsyncIterator[Kernel]:
    settings = KernelSettings(plugins={"agents": PluginSettings(config=config)})
    async with Kernel(settings, plugins={"agents": AgentsPlugin, "agents-memory": AgentsMemory}) as kernel:
        yield kernel


@pytest.fixture
async def kernel() -> AsyncIterator[Kernel]:
    async with running() as kernel:
        yield kernel


@pytest.fixture
def agents(kernel: Kernel) -> Agents:
    return kernel.get(AGENTS)


async def test_one_instance_name_is_served_once(agents: Agents) -> None:
    async with agents.serve(Echo(), instance="one"):
        with pytest.raises(ValueError, match="served already"):
            async with agents.serve(Echo(), instance="one"):
                pass


async def test_an_answer_with_a_field_of_the_wrong_type_is_bad_output(agents: Agents) -> None:
    async def work(request: Ask, ctx: StepContext) -> Any:
        return msgspec.structs.replace(Answer("x"), text=5)

    async with agents.serve(Echo(work)):
        assert (await error_of(agents, Ask("x"))).code == "bad_output"


async def test_no_more_replies_are_kept_than_configured() -> None:
    async with running(replies_kept=2) as kernel:
        agents = kernel.get(AGENTS)
        async with agents.serve(echo := Echo()):
            for key in ("a", "b", "c", "c", "b", "a"):
                await agents.call(ECHO, Ask(key), key=key)
    assert [request.text for request in echo.requests] == ["a", "b", "c", "a"]


async def test_a_reply_past_its_window_is_forgotten() -> None:
    async with running(reply_window="10ms") as kernel:
        agents = kernel.get(AGENTS)

        async def runs_again() -> bool:
            await agents.call(ECHO, Ask("x"), key="k")
            return len(echo.requests) == 2

        async with agents.serve(echo := Echo()):
            await eventually(runs_again)


async def test_statistics_count_calls_and_errors_and_are_in_the_snapshot(agents: Agents, kernel: Kernel) -> None:
    from tta_kernel.hookspecs import snapshot

    async with agents.serve(Echo(), instance="one"):
        await agents.call(ECHO, Ask("x"), key="a")
        await error_of(agents, {})
        found = agents.statistics()["echo:one"]
        answer = (await kernel.ask(snapshot))["agents"]
    assert (found.calls, found.errors, found.timeouts, found.running) == (2, 1, 0, 0)
    assert 0 < found.p50 <= found.p95
    assert found.mean > 0
    assert isinstance(answer, dict)
    assert answer["echo:one"]["calls"] == 2
    assert (answer["agents.served"], answer["agents.degraded"], answer["agents.running"]) == (1, 0, 0)
    assert agents.statistics() == {}


async def test_a_card_says_how_its_agent_has_done(agents: Agents, kernel: Kernel) -> None:
    async with agents.serve(Echo(), instance="one") as id:
        await agents.call(ECHO, Ask("x"), key="a")
        card = await kernel.get(AGENT_REGISTRY).get(id)
        assert card is not None
        assert card.statistics == agents.statistics()["echo:one"]
        assert card.statistics.calls == 1


async def test_an_agent_past_its_time_counts_as_one_that_timed_out(agents: Agents) -> None:
    async def work(request: Ask, ctx: StepContext) -> Any:
        await anyio.sleep_forever()

    async with agents.serve(Echo(work, timeout=0.01)) as id:
        assert (await error_of(agents)).code == "timeout"
        assert agents.statistics()[str(id)].timeouts == 1


async def test_a_time_out_that_came_of_a_blocked_event_loop_says_who_blocked(agents: Agents) -> None:
    async def work(request: Ask, ctx: StepContext) -> Any:
        await anyio.sleep_forever()

    blocked = "the event loop was blocked for 2.0 s by plugin 'slow' at slow.py:1 in work: "
    before = delays.set(lambda seconds: blocked)
    async with agents.serve(Echo(work, timeout=0.01)) as id:
        error = await error_of(agents)
    delays.reset(before)
    assert f"{blocked}{id} took longer than 0.01 s" in str(error)


async def test_an_agent_is_registered_for_as_long_as_it_is_served(agents: Agents, kernel: Kernel) -> None:
    registry = kernel.get(AGENT_REGISTRY)
    with kernel.events.subscribe(AgentRegistered, AgentDeregistered, AgentCalled) as events:
        async with agents.serve(Echo(), instance="one") as id:
            card = await registry.get(id)
            await agents.call(ECHO, Ask("x"), key="k")
        assert await registry.get(id) is None
    assert card is not None
    assert (card.id, card.capabilities) == (AgentId("echo", "one"), (Capability("echo"),))
    seen = [type(event) async for event in events]
    assert seen == [AgentRegistered, AgentCalled, AgentDeregistered]


class _Declares(Plugin[NoConfig]):
    @hookimpl
    def agents(self) -> list[AgentSpec]:
        return [Echo().spec]


class _AlsoDeclares(_Declares):
    pass


async def test_two_plugins_that_declare_one_agent_are_a_problem() -> None:
    plugins: dict[str, type[Plugin[Any]]] = {
        "agents": AgentsPlugin,
        "agents-memory": AgentsMemory,
        "one": _Declares,
        "two": _AlsoDeclares,
    }
    with pytest.raises(Exception, match=r"declares the agent 'echo', and so does"):
        async with Kernel(plugins=plugins):
            pass


async def test_a_plugin_may_serve_from_its_lifespan() -> None:
    class Serves(_Declares):
        requires = (AGENTS,)

        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            async with ctx.get(AGENTS).serve(Echo()):
                yield

    async with Kernel(plugins={"agents": AgentsPlugin, "agents-memory": AgentsMemory, "echo": Serves}) as kernel:
        reply = await kernel.get(AGENTS).call(ECHO, Ask("x"), key="k")
    assert reply.output["text"] == "x"
