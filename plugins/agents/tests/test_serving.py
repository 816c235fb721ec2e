"""Under which names agents are served, to whom they are announced, how they do, and their state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from tta_agents import AGENT_REGISTRY, AGENTS, AgentError, AgentId, AgentsPlugin, AgentStatusChanged, StepContext
from tta_agents.memory import MemoryRegistry
from tta_agents.testing import Answer, Ask, Echo
from tta_agents.testing.echo import ASK, ECHO, error_of
from tta_agents.testing.processes import Processes
from tta_kernel import Context, Kernel, KernelSettings, NoConfig, Plugin, PluginSettings
from tta_messages import MESSAGES


@pytest.mark.parametrize("config", [{"auto_register": False}, {"agents": {"echo": {"auto_register": False}}}])
async def test_an_agent_that_is_not_announced_serves_its_own_process_only(
    processes: Processes, config: dict[str, Any]
) -> None:
    caller, server = await processes.agents(), await processes.agents(**config)
    async with server.serve(Echo()) as id:
        card = await processes.registry.get(id)
        await server.call(ECHO, Ask("x"), key="k")
        assert (await error_of(caller)).code == "not_served"
    assert card is not None
    assert not card.shared


async def test_an_agent_is_served_under_every_configured_name_with_its_wishes(processes: Processes) -> None:
    instances = [{"name": "one", "resources": {"gpu": 1}}, {"name": "two"}]
    server = await processes.agents(agents={"echo": {"instances": instances, "concurrency": 3}})
    caller = await processes.agents()
    async with server.serve(Echo()) as first, server.serve(Echo()) as second:
        cards = {card.id.instance: card for card in await processes.registry.list("echo")}
        for name in ("one", "two"):
            reply = await caller.call(AgentId("echo", name), Ask("x"), key=name)
            assert reply.agent.instance == name
    assert first.instance == "one"
    assert second.instance not in (None, "one", "two")
    assert cards["one"].resources == {"gpu": 1}
    assert cards["two"].limit == 3
    assert list(await processes.registry.list()) == []


async def test_a_name_that_no_queue_can_have_is_refused_where_it_is_announced(processes: Processes) -> None:
    with pytest.raises(ValueError, match="no queue can be named"):
        async with (await processes.agents()).serve(Echo(), instance="a/b"):
            pass
    assert list(await processes.registry.list()) == []
    async with (await processes.agents(auto_register=False)).serve(Echo(), instance="a/b"):
        pass


class Silent(Plugin[NoConfig]):
    """Would carry messages, and can't start."""

    provides = (MESSAGES,)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        raise OSError("no server")
        yield


async def test_while_messages_do_not_run_nobody_is_announced_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    sections = {"agents": PluginSettings(config={"auto_register": True}), "silent": PluginSettings(required=False)}
    registry = MemoryRegistry()
    plugins: dict[str, type[Plugin[Any]]] = {"agents": AgentsPlugin, "silent": Silent}
    kernel = Kernel(KernelSettings(plugins=sections), plugins=plugins, services={AGENT_REGISTRY: registry})
    async with kernel, kernel.get(AGENTS).serve(Echo()) as id:
        card = await registry.get(id)
    assert card is not None
    assert not card.shared
    assert "nothing provides messages" in caplog.text


async def test_an_agent_that_fails_again_and_again_is_degraded_until_it_succeeds(processes: Processes) -> None:
    async def work(request: Ask, ctx: StepContext) -> Answer:
        if request.text == "bad":
            raise ValueError
        return Answer("good")

    kernel = await processes.start(degraded_after=2)
    agents = kernel.get(AGENTS)
    with kernel.events.subscribe(AgentStatusChanged) as events:
        async with agents.serve(Echo(work)) as id:
            for n, text in enumerate(["bad", "good", "bad", "bad", "bad"]):
                if text == "bad":
                    await error_of(agents, Ask("bad"), key=str(n))
                else:
                    await agents.call(ECHO, Ask(text), key=str(n))
            assert [card.status for card in await processes.registry.list()] == ["degraded"]
            assert list(await processes.registry.discover("echo")) == []
            health = (await kernel.health())["agents"]
            assert (health.status, health.detail) == (
                "degraded", f"{id}: its last 3 calls came to nothing (failed); its plugin's log says why",
            )  # fmt: skip
            await agents.call(ECHO, Ask("good"), key="good")
            assert (await kernel.health())["agents"].status == "ok"
            assert [card.id for card in await processes.registry.discover("echo")] == [id]
    changes = [(event.before, event.after) async for event in events]
    assert changes[0][1] == "degraded"
    assert [change for change in changes if "degraded" in change] == [changes[0], changes[-1]]


async def test_a_degraded_agent_leaves_calls_to_others_that_are_well_and_takes_them_when_there_are_none(
    processes: Processes,
) -> None:
    async def fail(request: Ask, ctx: StepContext) -> Answer:
        raise ValueError

    caller, server = await processes.agents(), await processes.agents()
    weak = await processes.agents(degraded_after=2)
    codes: list[str] = []
    async with weak.serve(ill := Echo(fail)):
        async with server.serve(well := Echo()):
            for number in range(20):
                try:
                    await caller.call(ECHO, ASK, key=str(number))
                except AgentError as exc:
                    codes.append(exc.code)
        assert len(ill.requests) == len(codes) <= 3  # One may have been asked for before.
        assert len(well.requests) == 20 - len(codes)
        with anyio.CancelScope(shield=True):
            assert (await error_of(caller, key="last")).code == "failed"


class Counting(Echo):
    """An agent with a state."""

    count: Any = 0

    def export_state(self) -> Any:
        return {"count": self.count}

    def import_state(self, state: Any) -> None:
        self.count = state["count"]


async def test_an_agent_has_its_state_back_before_it_is_announced(processes: Processes) -> None:
    agents = await processes.agents()
    async with agents.serve(first := Counting(), instance="one"):
        first.count = 7
    async with agents.serve(second := Counting(), instance="one"):
        assert second.count == 7
        assert await processes.registry.state(AgentId("echo", "one")) == msgspec.msgpack.encode({"count": 7})
    async with agents.serve(other := Counting(), instance="two"):
        assert other.count == 0


async def test_a_state_that_cannot_be_used_or_made_costs_no_more_than_a_warning(
    processes: Processes, caplog: pytest.LogCaptureFixture
) -> None:
    refused: dict[str, str] = {}

    class Noting(MemoryRegistry):
        async def refuse_state(self, id: AgentId, reason: str) -> None:
            refused[str(id)] = reason

    processes.registry = Noting()
    agents = await processes.agents()
    async with agents.serve(first := Counting(), instance="one"):
        first.count = object()
    assert "reports no state" in caplog.text

    class Stubborn(Counting):
        def import_state(self, state: Any) -> None:
            raise KeyError("count")

    async with agents.serve(Stubborn(), instance="one"):
        reply = await agents.call(ECHO, Ask("x"), key="k")
    assert reply.output["text"] == "x"
    assert "begins anew" in caplog.text
    assert refused == {"echo:one": "its agent raised KeyError"}
