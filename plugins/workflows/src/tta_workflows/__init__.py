"""Workflows: steps as data, and runs of them that outlive their process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import ClassVar

import anyio.to_thread

from tta_agents.hookspecs import declared
from tta_http import Route
from tta_kernel import KERNEL, ConfigError, Context, Event, Hooks, Plugin, PluginError, Problem, hookimpl
from tta_messages.types import declared as declared_types
from tta_metrics import METRICS
from tta_program import Subcommands, unquoted

from . import hookspecs
from .check import problems
from .checks import Finding
from .choices import problems as choice_problems
from .counting import counted
from .definition import (
    Compensation,
    Concurrency,
    Debounce,
    Execution,
    Paths,
    Publish,
    Rate,
    Repeat,
    Retention,
    Retry,
    Send,
    Singleton,
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
from .library import Config, Definitions, Folder, gather, read_folder
from .local import WorkflowsLocal, WorkflowsMemory
from .pools import PoolSettings
from .routes import workflow_routes
from .runs import (
    DEFINITIONS,
    WORKFLOWS,
    Outcome,
    Retracted,
    Run,
    RunFinished,
    RunHandle,
    RunQuiet,
    RunSlow,
    RunStarted,
    StepFinished,
    StepRun,
    StepSlow,
    StepStarted,
    Streamed,
    Workflows,
    WorkflowSaid,
    WorkflowsUnavailable,
)  # fmt: skip
from .strategies import Strategy, Waiting

__all__ = [
    "DEFINITIONS", "JOURNAL", "WORKFLOWS", "Compensation", "Concurrency", "Debounce", "Execution", "Finding", "Journal",
    "JournalCorrupt", "JournalError", "JournalFull", "Outcome", "Paths", "PoolSettings", "Publish", "Rate", "Repeat",
    "Retention", "Retracted", "Retry", "Run", "RunFinished", "RunHandle", "RunHead", "RunPage", "RunQuery", "RunQuiet",
    "RunSlow", "RunStarted", "RunStatus", "RunSummary", "Send", "Singleton", "Step", "StepFinished", "StepRun",
    "StepSlow", "StepStarted", "Strategy", "Streamed", "Waiting", "Workflow", "WorkflowSaid", "WorkflowUse",
    "Workflows", "WorkflowsLocal", "WorkflowsMemory", "WorkflowsPlugin", "WorkflowsUnavailable",
]  # fmt: skip


class WorkflowsPlugin(Plugin[Config]):
    """The vocabulary of workflows, and their definitions."""

    requires = (KERNEL,)
    after = (METRICS,)
    provides = (DEFINITIONS,)
    hookspecs: ClassVar[ModuleType | None] = hookspecs

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._folder: Folder | None = None
        self._definitions = Definitions()

    def files(self) -> Folder:
        """Return what the files said when they were first looked at, or at the last reload."""
        if self._folder is None:
            self._folder = read_folder(self.config.folder)
        return self._folder

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._kernel = ctx.get(KERNEL)
        self._hooks = self._kernel.hooks
        self._definitions.become(gather(self.config, self.files(), self._hooks)[0])
        ctx.provide(DEFINITIONS, self._definitions)
        with counted(ctx.find(METRICS)):
            yield

    async def prepare(self, config: Config) -> Callable[[], None]:
        folder = await anyio.to_thread.run_sync(read_folder, config.folder)
        found, wrong = gather(config, folder, self._hooks)
        if wrong:
            raise ConfigError(*wrong)

        def commit() -> None:
            # In place: who has them begins new runs by what is there now, and goes on with the old ones as they are.
            self._folder = folder
            self._definitions.become(found)

        return commit

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (RunStarted, StepStarted, StepFinished, RunSlow, StepSlow, RunQuiet, RunFinished, WorkflowSaid)

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        found, wrong = gather(self.config, self.files(), hooks)
        uses: dict[str, Sequence[WorkflowUse]] = {}
        for plugin, answer in hooks.collect(hookspecs.workflow_uses).items():
            if not isinstance(answer, Exception):
                uses[plugin] = answer
            elif not isinstance(answer, PluginError):  # One that can't be used is the kernel's to tell.
                what = f"its hook workflow_uses {unquoted(answer)}"
                wrong.append(Problem(f"plugin {plugin!r}", what, plugin=plugin))
        types, _ = declared_types(hooks)
        more = problems(found, declared(hooks), uses, hooks.trouble, origins=found.origins, types=types)
        return [*wrong, *map(found.blame, (*more, *choice_problems(found, hooks)))]

    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return workflow_routes(lambda: self._kernel)

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        """Let go of a person's runs that are at work in this process; it is the journal that erases and counts them."""
        from .executor import Executor  # Another engine has its own way.

        engine = self._kernel.services.get(WORKFLOWS)
        if user and isinstance(engine, Executor):
            engine.forget(user)
        return 0

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        from . import commands  # Only a command needs them.

        commands.add(subcommands)
