"""The plugin that brings the vocabulary of schedules, those of the config, and the commands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec

from tta_kernel import ConfigError, Context, Event, Hooks, Plugin, Problem, hookimpl
from tta_program import Subcommands
from tta_workflows import WorkflowUse

from .model import Configured, Schedule, ScheduleFired, ScheduleMissed
from .schedules import SCHEDULES, Schedules, unfit
from .store import SCHEDULE_STORE, guard


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The schedules of this deployment, by name."""

    schedules: dict[str, Configured] = {}


class SchedulesPlugin(Plugin[Config]):
    """Schedules of the config, and whatever is added at run time."""

    requires = (SCHEDULE_STORE,)
    provides = (SCHEDULES,)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        store = ctx.get(SCHEDULE_STORE)
        self._schedules = Schedules(guard(store), durable=store.durable, configured=configured(self.config))
        ctx.provide(SCHEDULES, self._schedules)
        yield

    async def prepare(self, config: Config) -> Callable[[], None]:
        if wrong := problems(config):
            raise ConfigError(*wrong)
        found = configured(config)
        return lambda: self._schedules.configure(found)

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (ScheduleFired, ScheduleMissed)

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        return problems(self.config)

    @hookimpl(optionalhook=True)
    def workflow_uses(self) -> Sequence[WorkflowUse]:
        return uses(self.config)

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        from . import commands  # Only a command needs them.

        commands.add(subcommands)


def configured(config: Config) -> Mapping[str, Schedule]:
    """Return the schedules of a config as they are stored."""
    return {name: each.schedule() for name, each in config.schedules.items()}


def problems(config: Config) -> list[Problem]:
    """Say what is wrong with the schedules of a config."""
    found = []
    for name, each in config.schedules.items():
        where = f"plugins.schedules.config.schedules.{name:.100}"
        if wrong := unfit(name, each.schedule()):
            found.append(Problem(where, wrong))
        if each.owner or each.session:
            what = "a schedule of the config is nobody's: `tta forget` could not take it out"
            found.append(Problem(where, what, "add a person's at run time, as `tta schedules add --owner` does"))
    return found


class _Output(msgspec.Struct):
    """Nothing is read of what a scheduled workflow gives."""


def uses(config: Config) -> list[WorkflowUse]:
    """Say which workflows the schedules of a config start, and which fields they give to them."""
    found = []
    for name, each in config.schedules.items():
        given = msgspec.defstruct(
            "Input", [(key, type(value)) for key, value in each.input.items() if key.isidentifier()]
        )
        found.append(WorkflowUse(each.workflow, given, _Output, f"schedules.{name}.workflow"))
    return found
