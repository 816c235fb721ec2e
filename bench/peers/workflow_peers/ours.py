"""Our own workflows: over a journal in memory or on Redis, with agents that cost nothing or the real ones."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import ModuleType
from typing import Any, ClassVar, cast

import msgspec

import tta_agents.hookspecs
from tta_agents import AGENT_REPLIES, AGENTS, AgentId, Agents, AgentsMemory, AgentSpec, AgentsPlugin, Reply, StepContext
from tta_agents.memory import MemoryReplies
from tta_kernel import Context, Kernel, NoConfig, Plugin, hookimpl
from tta_kernel.testing import running
from tta_redis import RedisPlugin
from tta_workflows import WORKFLOWS, Workflow, Workflows, WorkflowsLocal, WorkflowsMemory, WorkflowsPlugin
from tta_workflows.clock import Alarms, SystemClock
from tta_workflows.engine import Engine
from tta_workflows.executor import Executor
from tta_workflows.memory import MemoryJournal
from tta_workflows_redis import WorkflowsRedis

from .common import PAUSE, TEXT, WIDTH, Rows, build, chain_result, fan_result, read, rest, tell


class Text(msgspec.Struct, frozen=True):
    """What the agents take and give."""

    text: str
    pause: float = 0.0


class Number(msgspec.Struct, frozen=True):
    """What a branch takes and gives."""

    n: int


async def _text(work: Callable[[str], str], request: Mapping[str, Any]) -> Mapping[str, Any]:
    if pause := request.get("pause", 0.0):
        await rest(pause)
    return {"text": work(request["text"]), "pause": pause}


async def _square(request: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"n": request["n"] ** 2}


class StubAgents:
    """Stands where `AGENTS` does, and costs nothing."""

    process = "bench"

    async def call(self, agent: AgentId, request: Any, **more: Any) -> Reply:
        """Do the work at once."""
        if agent.type == "square":
            return Reply(agent, await _square(request), 0.0)
        work = {"read": read, "build": build, "tell": tell}[agent.type]
        return Reply(agent, await _text(work, request), 0.0)


class Words:
    """A real agent that costs nothing."""

    def __init__(self, type: str, work: Callable[[str], str]) -> None:
        self.spec = AgentSpec(type, "does a part of a turn", Text, Text)
        self._work = work

    async def process(self, request: Text, ctx: StepContext, /) -> Text:
        """Do the work at once."""
        if request.pause:
            await rest(request.pause)
        return Text(self._work(request.text), request.pause)


class Square:
    """A real agent for a branch."""

    spec = AgentSpec("square", "squares a number", Number, Number)

    async def process(self, request: Number, ctx: StepContext, /) -> Number:
        """Do the work at once."""
        return Number(request.n**2)


SERVED: Sequence[Any] = (Words("read", read), Words("build", build), Words("tell", tell), Square())


class Declared(Plugin[NoConfig]):
    """Declares the agents."""

    @hookimpl
    def agents(self) -> Sequence[AgentSpec]:
        """Say what they take and give."""
        return [agent.spec for agent in SERVED]


class Stub(Declared):
    """Stands where the plugin `agents` does."""

    provides = (AGENTS, AGENT_REPLIES)
    hookspecs: ClassVar[ModuleType | None] = tta_agents.hookspecs

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """Provide what costs nothing."""
        ctx.provide(AGENTS, cast("Agents", StubAgents()))
        ctx.provide(AGENT_REPLIES, MemoryReplies(1000))
        yield


class Served(Declared):
    """Serves the real agents."""

    requires = (AGENTS,)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """Serve them for as long as it runs."""
        async with AsyncExitStack() as stack:
            for agent in SERVED:
                await stack.enter_async_context(ctx.get(AGENTS).serve(agent))
            yield


def definitions(limits: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the workflows, each step with ``limits``."""
    before = {"read": "input", "build": "steps.read", "tell": "steps.build"}
    return {
        "chain": {
            "steps": [
                {"id": name, "agent": name, "input": {"text": f"{where}.text", "pause": "input.pause"}, **limits}
                for name, where in before.items()
            ],
            "output": {"told": "steps.tell.text"},
        },
        "fan": {
            "steps": [
                {"id": f"b{n}", "agent": "square", "needs": [], "input": {"n": f"input.n{n}"}, **limits}
                for n in range(WIDTH)
            ],
            "output": {f"n{n}": f"steps.b{n}.n" for n in range(WIDTH)},
        },
    }


def rows(workflows: Workflows, *names: str) -> Rows:
    """Return the rows of these names."""
    numbers = {f"n{n}": n for n in range(WIDTH)}

    async def chain() -> None:
        run = await workflows.run("chain", {"text": TEXT}, key=uuid.uuid4().hex)
        chain_result(run.output.get("told", run.error))

    async def slow() -> None:
        run = await workflows.run("chain", {"text": TEXT, "pause": PAUSE}, key=uuid.uuid4().hex)
        chain_result(run.output.get("told", run.error))

    async def fan() -> None:
        run = await workflows.run("fan", numbers, key=uuid.uuid4().hex)
        fan_result(sum(run.output.values()))

    found: Mapping[str, Callable[[], Awaitable[None]]] = {"chain": chain, "fan": fan, "slow": slow, "durable": chain}
    return {name: found[name] for name in names}


@asynccontextmanager
async def open_bare() -> AsyncIterator[Rows]:
    """Run the executor alone: no time limits for steps, and nobody who is told of anything."""
    clock = SystemClock()
    engine = Engine(
        agents=cast("Agents", StubAgents()), journal=MemoryJournal(clock.time, runs=1000), clock=clock,
        alarms=Alarms(clock), log=logging.getLogger("bench"),
    )  # fmt: skip
    executor = Executor(engine, msgspec.convert(definitions({}), dict[str, Workflow]))
    async with executor.running():
        yield rows(executor, "chain", "fan", "slow")


@asynccontextmanager
async def open_shipped() -> AsyncIterator[Rows]:
    """Run it as it ships, with a time limit for each step and events, over agents that are handed in."""
    async with _kernel({"agents": Stub, "workflows-memory": WorkflowsMemory}) as kernel:
        yield rows(kernel.get(WORKFLOWS), "chain", "fan", "slow")


@asynccontextmanager
async def open_durable(redis_url: str) -> AsyncIterator[Rows]:
    """Run it over the journal on Redis, each commit fenced."""
    plugins = {"redis": RedisPlugin, "workflows-redis": WorkflowsRedis, "agents": Stub}
    async with _kernel(plugins, redis={"url": redis_url}) as kernel:
        yield rows(kernel.get(WORKFLOWS), "durable")


@asynccontextmanager
async def open_agents() -> AsyncIterator[Rows]:
    """Run it over real agents."""
    plugins = {
        "workflows-memory": WorkflowsMemory, "agents": AgentsPlugin, "agents-memory": AgentsMemory, "served": Served,
    }  # fmt: skip
    async with _kernel(plugins) as kernel:
        yield rows(kernel.get(WORKFLOWS), "chain", "fan", "slow")


def _kernel(plugins: Mapping[str, type[Plugin[Any]]], redis: Any = None) -> Kernel:
    shared = {"workflows": WorkflowsPlugin, "workflows-local": WorkflowsLocal}
    configs: dict[str, Any] = {"workflows": {"workflows": definitions({"timeout": 5})}}
    if redis is not None:
        configs["redis"] = redis
    return running(shared, dict(plugins), configs=configs)
