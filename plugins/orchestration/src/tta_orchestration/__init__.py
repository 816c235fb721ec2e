"""Orchestration: a turn of the story, from the player's text to the checked answer."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio

from tta_crisis import CRISIS
from tta_kernel import Context, Event, Hooks, Plugin, Problem, hookimpl
from tta_metrics import METRICS
from tta_notify import NOTIFY
from tta_safety import HELP, REVIEWS
from tta_safety.hookspecs import check_text
from tta_sessions import SESSIONS, SUMMARISER
from tta_workflows import WORKFLOWS, Finding, RunSummary, WorkflowUse
from tta_world import WORLD

from .component import Component
from .counting import counted
from .model import (
    ORCHESTRATION,
    SEEDS,
    Failure,
    InputError,
    Narrate,
    NotRunning,
    Orchestration,
    OrchestrationResponse,
    Outcome,
    Part,
    ReadTimeout,
    Status,
    StoreFailed,
    TurnInput,
    TurnOutput,
    TurnPlayed,
    TurnStream,
)  # fmt: skip
from .progress import Progressed
from .reconcile import orphans
from .settings import Config
from .texts import NOT_YOURS
from .turns import Turns

__all__ = [
    "NOT_YOURS", "ORCHESTRATION", "SEEDS", "Component", "Failure", "InputError", "Narrate", "NotRunning",
    "Orchestration", "OrchestrationPlugin", "OrchestrationResponse", "Outcome", "Part", "Progressed", "ReadTimeout",
    "Status", "StoreFailed", "TurnInput", "TurnOutput", "TurnPlayed", "TurnStream",
]  # fmt: skip


class OrchestrationPlugin(Plugin[Config]):
    """Plays turns: asks the checks, runs the workflow, commits the session."""

    requires = (WORKFLOWS, SESSIONS)
    after = (METRICS, CRISIS, NOTIFY, REVIEWS, HELP, SUMMARISER, WORLD)
    provides = (ORCHESTRATION,)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._sessions = ctx.get(SESSIONS)
        async with anyio.create_task_group() as tasks:
            turns = Turns(ctx, ctx.get(WORKFLOWS), ctx.get(SESSIONS), self.config, tasks)
            ctx.provide(ORCHESTRATION, turns)
            try:
                with counted(ctx.find(METRICS)):
                    yield
            finally:
                turns.close()
                # What is being told may come to its end, as long as there is time left to cancel it.
                now = anyio.current_time()
                tasks.cancel_scope.deadline = now + (anyio.current_effective_deadline() - now) / 2

    @hookimpl(optionalhook=True)
    def workflow_uses(self) -> Sequence[WorkflowUse]:
        return (WorkflowUse(self.config.workflow, TurnInput, TurnOutput, key="workflow"),)

    @hookimpl(optionalhook=True)
    async def reconcile_runs(self, runs: Sequence[RunSummary]) -> Sequence[Finding]:
        return await orphans(self._sessions, self.config.workflow, runs, time.time())

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        if self.config.allow_unchecked or hooks.implementers(check_text):
            return ()
        what = "no enabled plugin checks text, and a story that nobody has checked is not told"
        hint = "enable one that implements the hook check_text, such as 'safety-rules'; or set allow_unchecked"
        return (Problem("plugin 'orchestration'", what, hint),)

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (TurnPlayed, StoreFailed, Progressed)
