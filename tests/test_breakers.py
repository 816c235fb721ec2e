"""A story whose teller fails again and again, in two processes on Redis: none calls it, and its player is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from tta_agents import AgentsMemory, AgentsPlugin, StepContext
from tta_breakers import BREAKERS, BreakerChanged, BreakersMemory, BreakersPlugin
from tta_breakers.testing import eventually
from tta_breakers_redis import BreakersRedis
from tta_kernel import Kernel
from tta_kernel.testing import published, running
from tta_orchestration import ORCHESTRATION, OrchestrationPlugin, OrchestrationResponse, texts
from tta_orchestration.testing import TURN, Scene, Teller
from tta_redis import RedisPlugin
from tta_redis.testing import RedisServer, redis_server
from tta_safety import SafetyPlugin
from tta_sessions import SessionsMemory, SessionsPlugin
from tta_workflows import WorkflowsLocal, WorkflowsMemory, WorkflowsPlugin

SETTINGS = {"failures": 2, "rate": None, "open": "20ms", "growth": 1}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as found:
        yield found


class Shaky(Teller):
    """A teller that doesn't tell while it is ill."""

    ill = True
    calls = 0

    async def process(self, request: Scene, ctx: StepContext, /) -> Any:
        type(self).calls += 1
        if self.ill:
            raise ValueError
        return await super().process(request, ctx)


def kernel(teller: type[Teller], config: dict[str, Any] | None, **names: Any) -> Kernel:
    backends: list[Any] = [RedisPlugin, BreakersRedis] if config else []
    return running(
        OrchestrationPlugin, WorkflowsPlugin, WorkflowsLocal, WorkflowsMemory, AgentsPlugin, AgentsMemory, SafetyPlugin,
        SessionsPlugin, SessionsMemory, BreakersPlugin, BreakersMemory, {"teller": teller}, *backends,
        config={"allow_unchecked": True},
        configs={
            "workflows": {"workflows": {"turn": TURN}}, "redis": config or {},
            "breakers": {"names": {"workflow:*": {"enabled": False}, **names}},
        },
    )  # fmt: skip


async def turn(kernel: Kernel) -> OrchestrationResponse:
    return await kernel.get(ORCHESTRATION).process_user_input("hello", "s")


async def test_a_teller_that_fails_again_and_again_is_left_alone_by_all_and_its_player_is_told(
    server: RedisServer,
) -> None:
    class Here(Shaky):
        pass

    class There(Shaky):
        pass

    config = msgspec.to_builtins(server.config())
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(kernel(Here, config, **{"agent:*": {**SETTINGS, "open": "10m"}}))
        there = await stack.enter_async_context(kernel(There, config, **{"agent:*": {**SETTINGS, "open": "10m"}}))
        with published(there, BreakerChanged) as events:
            assert (await turn(here)).text == texts.FAILED
            await eventually(lambda: there.get(BREAKERS).breaker("agent:teller").record.failures == 1)
            assert (await turn(there)).text == texts.FAILED
            assert (await events.next()).after == "open"
        await eventually(lambda: here.get(BREAKERS).breaker("agent:teller").record.status == "open")
        assert [(await turn(each)).text for each in (here, there)] == [texts.said(texts.RESTING)] * 2
        assert (Here.calls, There.calls) == (1, 1)
        Here.ill = There.ill = False
        await here.get(BREAKERS).reset("agent:teller")
        await eventually(lambda: there.get(BREAKERS).breaker("agent:teller").record.status == "closed")
        assert [(await turn(each)).outcome for each in (here, there)] == ["story"] * 2


async def test_when_its_time_is_over_a_turn_tries_it_and_all_goes_on() -> None:
    class Alone(Shaky):
        pass

    async with kernel(Alone, None, **{"agent:*": SETTINGS}) as k:
        for _ in range(2):
            assert (await turn(k)).outcome == "failed"
        Alone.ill = False
        breaker = k.get(BREAKERS).breaker("agent:teller")
        assert breaker.record.status == "open"
        await eventually(lambda: k.get(BREAKERS).now() >= breaker.record.until)
        assert (await turn(k)).outcome == "story"
        assert breaker.record.clean


async def test_a_workflow_that_fails_again_and_again_is_told_as_well() -> None:
    class Whole(Shaky):
        pass

    names = {"workflow:*": {**SETTINGS, "open": "10m"}, "agent:*": {"enabled": False}}
    async with kernel(Whole, None, **names) as k:
        assert [(await turn(k)).text for _ in range(3)] == [texts.FAILED, texts.FAILED, texts.said(texts.RESTING)]
        assert Whole.calls == 2
