"""The plugins: the service with its agents and protocols, and the store in memory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any

import anyio
import msgspec
from msgspec import Meta

from tta_agents import AGENTS, AgentSpec
from tta_audit import AUDIT, Audit, Entry
from tta_http import Route
from tta_kernel import (
    Context,
    Event,
    Figure,
    Health,
    Hooks,
    Plugin,
    PositiveDuration,
    Problem,
    as_failure,
    hookimpl,
)
from tta_metrics import METRICS
from tta_notify import NOTIFY, Acknowledged
from tta_program import Subcommands
from tta_safety import HELP, SHIPPED
from tta_sessions import SESSIONS
from tta_workflows import DEFINITIONS, WORKFLOWS, Workflow, WorkflowUse

from . import agents, protocols
from .counting import FIGURES, counted, picture
from .crises import StoredCrises
from .memory import MemoryCrisisStore
from .model import (
    CRISIS,
    CrisisAcknowledged,
    CrisisError,
    CrisisEscalated,
    CrisisOpened,
    CrisisResolved,
    NoSuchIntervention,
)
from .reach import Reach
from .routes import crisis_routes
from .settings import Config
from .store import CRISIS_STORE

_AUDIT_LIMIT = 2.0


class CrisisPlugin(Plugin[Config]):
    """Opens interventions, and serves the agents of the protocols that see to them."""

    requires = (CRISIS_STORE,)
    after = (AGENTS, AUDIT, DEFINITIONS, HELP, METRICS, NOTIFY, SESSIONS, WORKFLOWS)
    provides = (CRISIS,)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._crises: StoredCrises | None = None

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        reach = Reach(
            ctx.log, notifier=ctx.find(NOTIFY), workflows=ctx.find(WORKFLOWS), sessions=ctx.find(SESSIONS),
            definitions=ctx.find(DEFINITIONS), start_limit=self.config.start_limit,
        )  # fmt: skip
        crises = StoredCrises(ctx.get(CRISIS_STORE), reach, self.config, ctx.log, publish=ctx.publish)
        async with AsyncExitStack() as stack:
            if (serving := ctx.find(AGENTS)) is not None:
                for agent in agents.agents(crises, _recorder(ctx, ctx.find(AUDIT)), ctx.find(HELP) or SHIPPED):
                    await stack.enter_async_context(serving.serve(agent))
            stack.enter_context(counted(ctx.find(METRICS)))
            ctx.start_soon(crises.unstored.run)
            ctx.start_soon(reach.run)
            ctx.start_soon(self._sweep, ctx, crises)
            self._crises = crises
            ctx.provide(CRISIS, crises)
            yield

    async def _sweep(self, ctx: Context, crises: StoredCrises) -> None:
        """Look, now and again, for what a process has opened and could not begin before it was gone."""
        while True:
            try:
                await crises.sweep()
            except CrisisError as exc:
                ctx.log.warning("open interventions can't be looked through: %s", exc)
            await anyio.sleep(self.config.sweep)

    @hookimpl(optionalhook=True)
    def agents(self) -> Sequence[AgentSpec]:
        return agents.SPECS

    @hookimpl(optionalhook=True)
    def workflow_definitions(self) -> Mapping[str, Workflow]:
        return protocols.definitions(self.config.pool)

    @hookimpl(optionalhook=True)
    def workflow_uses(self) -> Sequence[WorkflowUse]:
        return protocols.uses(self.config.protocols)

    @hookimpl(optionalhook=True)
    async def notification_acknowledged(self, acknowledged: Acknowledged) -> None:
        id = acknowledged.about.get("intervention", "")
        if self._crises is None or acknowledged.topic != "crisis" or not id:
            return
        try:
            await self._crises.acknowledge(id, by=acknowledged.by)
        except NoSuchIntervention:
            return  # Its person was forgotten, or it is long over.

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        if self._crises is None:
            return 0
        self._crises.reach.forget(user)
        return self._crises.unstored.forget(user)

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (CrisisOpened, CrisisAcknowledged, CrisisEscalated, CrisisResolved)

    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return crisis_routes(lambda: self._crises)

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        from . import commands  # Only a command needs them.

        commands.add(subcommands)

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        found = [*protocols.problems(self.config.protocols)]
        if self.config.need_durable and hooks.providers.get(CRISIS_STORE) == "crisis-memory":
            what = "keeps interventions in memory: they end with their process"
            hint = "enable crisis-redis, or say `need_durable: false` in plugins.crisis.config where nobody plays"
            found.append(Problem("plugin 'crisis-memory'", what, hint, deployment_only=True))
        return found

    @hookimpl
    async def health(self) -> Health:
        if self._crises is None:
            return Health("failing", "it doesn't run")
        unstored, reach = self._crises.unstored, self._crises.reach
        wrong = []
        if unstored.trouble or len(unstored):
            wrong.append(f"{len(unstored)} interventions wait in memory: {unstored.trouble or 'being stored'}")
        if len(reach):
            wrong.append(f"{len(reach)} protocols wait to begin: {reach.trouble or 'being begun'}")
        if reach.untold:
            wrong.append(f"{reach.untold} times nobody could be told; look into the log for NOBODY IS TOLD")
        return Health("degraded" if wrong else "ok", "; ".join(wrong))

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return picture(self._crises) if self._crises is not None else {}


def _recorder(ctx: Context, audit: Audit | None) -> Callable[[str, str, str], Awaitable[None]]:
    """Return what puts a deed of a protocol into the audit; that it can't stops no protocol."""

    async def record(what: str, intervention: str, owner: str) -> None:
        if audit is None:
            return
        entry = Entry(what=what, who="crisis", kind="plugin", outcome="done", target=intervention, owner=owner)
        with anyio.move_on_after(_AUDIT_LIMIT):
            try:
                await audit.record(entry)
            except BaseException as exc:  # noqa: BLE001 - another plugin may provide it
                ctx.log.error("%s of %s isn't in the audit: %s", what, intervention, type(as_failure(exc)).__name__)  # noqa: TRY400 - it says all there is
            return
        ctx.log.error("%s of %s isn't in the audit: it was late", what, intervention)

    return record


class MemoryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many interventions there may be, and how long, in seconds, a resolved one and any packet is kept."""

    most: Annotated[int, Meta(ge=1, le=10**6)] = 10_000
    retention: PositiveDuration = 90 * 86400.0
    packets: PositiveDuration = 30 * 86400.0


class CrisisMemory(Plugin[MemoryConfig]):
    """Keeps the interventions of a deployment with one process; they end with it."""

    provides = (CRISIS_STORE,)
    fallback = True

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._store = MemoryCrisisStore(
            time.time, most=self.config.most, retention=self.config.retention, packets=self.config.packets
        )  # fmt: skip
        ctx.provide(CRISIS_STORE, self._store)
        yield

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        return await self._store.forget(user)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return (Figure("crisis.kept", "interventions in memory"),)

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"crisis.kept": len(self._store)}
