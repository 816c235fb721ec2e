"""Workflows: steps as data, and runs of them that outlive their process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import ClassVar

import msgspec

from tta_agents.hookspecs import declared
from tta_kernel import Context, Event, Hooks, Plugin, PluginError, Problem, hookimpl
from tta_program import unquoted

from . import hookspecs
from .check import problems
from .definition import (
    Compensation,
    Execution,
    Paths,
    Publish,
    Repeat,
    Retention,
    Retry,
    Send,
    Step,
    Workflow,
    WorkflowUse,
)  # fmt: skip
from .journal import (
    JOURNAL,
    Journal,
    JournalCorrupt,
    JournalError,
    JournalFull,
    RunHead,
    RunPage,
    RunQuery,
    RunStatus,
    RunSummary,
)  # fmt: skip
from .local import WorkflowsLocal, WorkflowsMemory
from .runs import (
    DEFINITIONS,
    WORKFLOWS,
    Outcome,
    Retracted,
    Run,
    RunFinished,
    RunHandle,
    RunStarted,
    StepFinished,
    StepRun,
    StepStarted,
    Streamed,
    Workflows,
    WorkflowSaid,
)  # fmt: skip

__all__ = [
    "DEFINITIONS", "JOURNAL", "WORKFLOWS", "Compensation", "Execution", "Journal", "JournalCorrupt", "JournalError",
    "JournalFull", "Outcome", "Paths", "Publish", "Repeat", "Retention", "Retracted", "Retry", "Run", "RunFinished",
    "RunHandle", "RunHead", "RunPage", "RunQuery", "RunStarted", "RunStatus", "RunSummary", "Send", "Step",
    "StepFinished", "StepRun", "StepStarted", "Streamed", "Workflow", "WorkflowSaid", "WorkflowUse", "Workflows",
    "WorkflowsLocal", "WorkflowsMemory", "WorkflowsPlugin",
]  # fmt: skip


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The workflows by name."""

    workflows: dict[str, Workflow] = {}


class WorkflowsPlugin(Plugin[Config]):
    """The vocabulary of workflows, and their definitions."""

    provides = (DEFINITIONS,)
    hookspecs: ClassVar[ModuleType | None] = hookspecs

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.provide(DEFINITIONS, self.config.workflows)
        yield

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (RunStarted, StepStarted, StepFinished, RunFinished, WorkflowSaid)

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
