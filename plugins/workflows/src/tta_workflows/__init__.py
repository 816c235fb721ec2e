"""Workflows: sequences of agent steps, listed in config."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Annotated, ClassVar

import msgspec

from tta_agents import AGENTS
from tta_agents.hookspecs import declared
from tta_kernel import Context, Event, Hooks, Plugin, PluginError, Problem, hookimpl
from tta_program import unquoted

from . import hookspecs
from .check import problems
from .model import (
    WORKFLOWS,
    Paths,
    Run,
    RunFinished,
    RunStarted,
    Step,
    StepFinished,
    StepRun,
    UnknownWorkflow,
    Workflow,
    Workflows,
    WorkflowUse,
)  # fmt: skip
from .sequence import Sequences

__all__ = [
    "WORKFLOWS", "Paths", "Run", "RunFinished", "RunStarted", "Step", "StepFinished", "StepRun", "UnknownWorkflow",
    "Workflow", "WorkflowUse", "Workflows", "WorkflowsPlugin",
]  # fmt: skip


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The workflows by name, and how many finished runs are remembered."""

    workflows: dict[str, Workflow] = {}
    runs_kept: Annotated[int, msgspec.Meta(ge=1, le=10**9)] = 256


class WorkflowsPlugin(Plugin[Config]):
    """Runs the workflows of its config."""

    requires = (AGENTS,)
    provides = (WORKFLOWS,)
    hookspecs: ClassVar[ModuleType | None] = hookspecs

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        service = Sequences(self.config.workflows, ctx.get(AGENTS), ctx.publish, kept=self.config.runs_kept)
        ctx.provide(WORKFLOWS, service)
        yield

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (RunStarted, StepFinished, RunFinished)

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        uses: dict[str, Sequence[WorkflowUse]] = {}
        found: list[Problem] = []
        for plugin, answer in hooks.collect(hookspecs.workflow_uses).items():
            if not isinstance(answer, Exception):
                uses[plugin] = answer
            elif not isinstance(answer, PluginError):  # One that can't be used is the kernel's to tell.
                what = f"its hook workflow_uses {unquoted(answer)}"
                found.append(Problem(f"plugin {plugin!r}", what, plugin=plugin))
        return [*found, *problems(self.config.workflows, declared(hooks), uses, hooks.trouble)]
