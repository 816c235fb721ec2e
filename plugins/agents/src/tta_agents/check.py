"""What is wrong with the config of agents, and with what plugins declare, before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from tta_kernel import ConfigError, Hooks, PluginError, Problem, check_duration, suggest
from tta_messages import MESSAGES
from tta_program import unquoted

from . import hookspecs
from .config import Config
from .model import AgentId, Unknown
from .wire import nameable


def problems(config: Config, hooks: Hooks) -> Sequence[Problem]:
    """Return all that is wrong."""
    return [
        *_unreachable(config, hooks), *_unnameable(config), *_declared(hooks), *_unknown(config, hooks),
        *_forgotten_too_soon(config, hooks),
    ]  # fmt: skip


def _unreachable(config: Config, hooks: Hooks) -> Iterator[Problem]:
    """Find settings that mean other processes, where nothing carries a message to any."""
    if MESSAGES in hooks.providers:
        return
    for key in ("auto_register", "remote"):
        if getattr(config, key):
            what = f"needs {MESSAGES}, which no enabled plugin provides"
            yield Problem(f"plugins.agents.config.{key}", what, "install one, or leave this out")


def _forgotten_too_soon(config: Config, hooks: Hooks) -> Iterator[Problem]:
    """Find who makes calls again when their replies are kept no more."""
    for plugin, seconds in hooks.collect(hookspecs.counts_on_replies).items():
        if isinstance(seconds, Exception):
            if not isinstance(seconds, PluginError):  # One that can't be used is the kernel's to tell.
                yield Problem(f"plugin {plugin!r}", f"its hook counts_on_replies {unquoted(seconds)}", plugin=plugin)
            continue
        try:
            check_duration("counts_on_replies", seconds)
        except (TypeError, ValueError):
            what = "its hook counts_on_replies answered with no number of seconds"
            yield Problem(f"plugin {plugin!r}", what, plugin=plugin)
            continue
        if seconds >= config.reply_window:
            what = f"replies are kept for {config.reply_window:g} s, and {plugin} counts on them for {seconds:g} s"
            yield Problem("plugins.agents.config.reply_window", what, f"let it be longer, or see to {plugin}'s config")


def _unnameable(config: Config) -> Iterator[Problem]:
    for type in config.remote:
        if not nameable(AgentId(type)):
            yield Problem(f"plugins.agents.config.remote.{type}", "nobody can serve it: no queue can have such a name")
    for type, each in config.agents.items():
        for instance in each.instances if config.auto_register and each.auto_register else ():
            if not nameable(AgentId(type, instance.name)):
                where = f"plugins.agents.config.agents.{type}.instances"
                what = f"no queue can be named after {AgentId(type, instance.name)}"
                yield Problem(where, what, "use up to 80 letters, digits and ._@+-")


def _declared(hooks: Hooks) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    for plugin, declared in hooks.collect(hookspecs.agents).items():
        if isinstance(declared, ConfigError) and declared.problems:  # It says itself what is wrong.
            yield from (replace(problem, plugin=plugin) for problem in declared.problems)
            continue
        if isinstance(declared, Exception):
            if not isinstance(declared, PluginError):  # One that can't be used is the kernel's to tell.
                yield Problem(f"plugin {plugin!r}", f"its hook agents {unquoted(declared)}", plugin=plugin)
            continue
        for spec in declared:
            # Deployments may share their config, so one of them has what is remote for the others.
            if spec.input is not Unknown and (first := owners.setdefault(spec.type, plugin)) != plugin:
                what = f"declares the agent {spec.type!r}, and so does {first!r}"
                yield Problem(f"plugin {plugin!r}", what, "disable one of them", plugin=plugin)


def _unknown(config: Config, hooks: Hooks) -> Iterator[Problem]:
    """Find settings of nobody: a slip of the pen, or meant for an agent that isn't enabled here."""
    known = hookspecs.declared(hooks)
    for type in config.agents:
        if type not in known:
            where = f"plugins.agents.config.agents.{type}"
            hint = suggest(type, known, cutoff=0.8, otherwise="")
            yield Problem(where, "no enabled plugin declares this agent", hint, note=not hint)
