"""The plugins that run workflows in this process, and remember them in its memory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec

from tta_agents import AGENT_REPLIES, AGENTS
from tta_breakers import BREAKERS
from tta_capabilities import CAPABILITIES
from tta_kernel import KERNEL, Context, Duration, Figure, Hooks, Plugin, PositiveDuration, Problem, hookimpl
from tta_kernel.wiring import HOST
from tta_messages import MESSAGES

from . import choices, hookspecs
from .clock import Alarms, SystemClock
from .definition import Retry
from .engine import Engine, Settings
from .executor import Executor
from .intake import Intake, SignalRun, StartRun
from .journal import JOURNAL
from .memory import MemoryJournal
from .pools import FIGURES, Pools, PoolSettings
from .runs import DEFINITIONS, WORKFLOWS

Count = Annotated[int, msgspec.Meta(ge=1, le=10**9)]


class LocalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How this process runs workflows."""

    lease: PositiveDuration = 10.0
    grace: Duration = 3.0
    undo: Retry = Settings().undo
    undo_timeout: PositiveDuration = 60.0
    window: Count = 64
    takeovers: Count = 5
    quiet_after: PositiveDuration = 600.0
    queue: str = ""
    concurrency: Count = 10
    runs: Count = 10_000
    pools: dict[str, PoolSettings] = {}
    weights: dict[str, Annotated[float, msgspec.Meta(gt=0, le=1000)]] = {}


class WorkflowsLocal(Plugin[LocalConfig]):
    """Runs workflows in this process, and takes over runs of processes that are gone."""

    requires = (KERNEL, DEFINITIONS, AGENTS, JOURNAL)
    after = (CAPABILITIES, MESSAGES, AGENT_REPLIES, BREAKERS)
    provides = (WORKFLOWS,)
    fallback = True

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        config, agents, messages = self.config, ctx.get(AGENTS), ctx.find(MESSAGES)
        journal, clock, hooks = ctx.get(JOURNAL), SystemClock(), ctx.get(KERNEL).hooks
        if journal.durable and ctx.find(AGENT_REPLIES) is None:
            # Only where a host has given the journal: of all others `check` knows.
            ctx.log.warning("who takes a run over makes its agents work again: nothing keeps their replies for all")
        settings = Settings(
            lease=config.lease, grace=config.grace, undo=config.undo, undo_timeout=config.undo_timeout,
            window=config.window, takeovers=config.takeovers, quiet_after=config.quiet_after, runs=config.runs,
        )  # fmt: skip
        self._pools = Pools(
            config.pools, ctx.log, strategies=choices.strategies(hooks)[0], weights=config.weights
        )  # fmt: skip
        engine = Engine(
            agents=agents, journal=journal, clock=clock, alarms=Alarms(clock), log=ctx.log, settings=settings,
            capabilities=ctx.find(CAPABILITIES), messages=messages, publish=ctx.publish,
            check_output=_output_check(ctx), breakers=ctx.find(BREAKERS),
            pools=self._pools,
        )  # fmt: skip
        executor = Executor(engine, ctx.get(DEFINITIONS), process=agents.process)
        async with executor.running():
            if config.queue and messages is not None:
                intake = Intake(executor, messages, config.queue, concurrency=config.concurrency)
                ctx.start_soon(intake.run)
            elif config.queue:
                ctx.log.warning("no message begins or answers a run: nothing provides messages")
            ctx.provide(WORKFLOWS, executor)
            yield

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        journal = hooks.providers.get(JOURNAL, "")
        if journal in ("", "workflows-memory", HOST) or AGENT_REPLIES in hooks.providers:
            return ()
        # Who takes a run over makes its calls again, and none of them would be known.
        what = "remembers runs for all processes, and nothing keeps the replies of their agents for all"
        hint = f"enable what provides {AGENT_REPLIES}, such as agents-redis, or workflows-memory in place of {journal}"
        return [Problem(f"plugin {journal!r}", what, hint)]

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return self._pools.picture()

    @hookimpl
    def workflow_pools(self) -> Collection[str]:
        return self.config.pools

    @hookimpl(optionalhook=True)
    def counts_on_replies(self) -> float:
        # A process may have called just before its lease was over, and another looks only once in a while.
        return 2 * self.config.lease

    @hookimpl(optionalhook=True)
    def message_types(self) -> Mapping[str, type[msgspec.Struct]]:
        return {StartRun.TYPE: StartRun, SignalRun.TYPE: SignalRun}


class MemoryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much is remembered: ``runs`` in all, the oldest finished ones go first, and ``records`` of one run."""

    runs: Count = 10_000
    records: Count = 10_000


class WorkflowsMemory(Plugin[MemoryConfig]):
    """The journal of a deployment with one process; it ends with it."""

    provides = (JOURNAL,)
    fallback = True

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._journal = MemoryJournal(time.monotonic, runs=self.config.runs, records=self.config.records)
        ctx.provide(JOURNAL, self._journal)
        yield

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        return await self._journal.forget(user)

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"runs": len(self._journal)}


def _output_check(ctx: Context) -> Any:
    """Return what asks all who check outputs, or None where nobody does: then no step pays for it."""
    if not ctx.get(KERNEL).hooks.implementers(hookspecs.check_output):
        return None

    def check(workflow: str, step: str, output: Mapping[str, Any]) -> Sequence[str]:
        objections: list[str] = []
        for plugin, answer in ctx.collect(hookspecs.check_output, workflow, step, output).items():
            if isinstance(answer, Exception):
                ctx.log.error("plugin %s could not check an output: %s", plugin, type(answer).__name__)
                objections.append(f"{plugin} could not check it")
            else:
                objections.extend(answer)
        return objections

    return check
