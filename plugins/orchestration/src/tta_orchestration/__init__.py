"""Orchestration: a turn of the story, from the player's text to the checked answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec

from tta_kernel import Context, Duration, Event, Hooks, Plugin, Problem, hookimpl
from tta_safety.hookspecs import check_text
from tta_sessions import SESSIONS
from tta_sessions.hookspecs import forget
from tta_workflows import WORKFLOWS, WorkflowUse

from .checks import Checks
from .component import Component
from .model import (
    ORCHESTRATION,
    Failure,
    InputError,
    NotRunning,
    Orchestration,
    OrchestrationResponse,
    Outcome,
    Part,
    StoreFailed,
    TurnInput,
    TurnOutput,
    TurnPlayed,
    TurnStream,
)  # fmt: skip
from .texts import NOT_YOURS
from .turns import Limits, Turns

__all__ = [
    "NOT_YOURS", "ORCHESTRATION", "Component", "Failure", "InputError", "NotRunning", "Orchestration",
    "OrchestrationPlugin", "OrchestrationResponse", "Outcome", "Part", "StoreFailed", "TurnInput", "TurnOutput",
    "TurnPlayed", "TurnStream",
]  # fmt: skip


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which workflow plays a turn, and what bounds it.

    ``allow_unchecked``: tell a story that nobody has checked, where no plugin checks text.
    ``max_text``: how many characters the story reads. ``history``: how many turns a session keeps.
    ``session_timeout``: how long, in seconds, reading or committing a session may take.
    """

    workflow: str = "turn"
    allow_unchecked: bool = False
    max_text: Annotated[int, msgspec.Meta(ge=100)] = 4000
    history: Annotated[int, msgspec.Meta(ge=1)] = 50
    session_timeout: Annotated[Duration, msgspec.Meta(gt=0, le=3600)] = 10.0


class _Service(Turns):
    async def forget(self, user: str) -> Mapping[str, int | Exception]:
        return await self._ctx.ask(forget, user)


class OrchestrationPlugin(Plugin[Config]):
    """Plays turns: asks the checks, runs the workflow, commits the session."""

    requires = (WORKFLOWS, SESSIONS)
    provides = (ORCHESTRATION,)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        c = self.config
        limits = Limits(c.workflow, c.max_text, c.history, c.session_timeout)
        checks = Checks(ctx, allow_unchecked=c.allow_unchecked)
        service = _Service(ctx, ctx.get(WORKFLOWS), checks, ctx.get(SESSIONS), limits)
        ctx.provide(ORCHESTRATION, service)
        try:
            yield
        finally:
            service.close()

    @hookimpl(optionalhook=True)
    def workflow_uses(self) -> Sequence[WorkflowUse]:
        return (WorkflowUse(self.config.workflow, TurnInput, TurnOutput, key="workflow"),)

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        if self.config.allow_unchecked or hooks.implementers(check_text):
            return ()
        what = "no enabled plugin checks text, so each turn gets the supportive fallback"
        return (Problem("plugin 'orchestration'", what, "enable one that implements the hook check_text", note=True),)

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (TurnPlayed, StoreFailed)
