"""Which plugins there are, what each gives and needs, and in what order they start."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Sequence
from graphlib import CycleError, TopologicalSorter
from time import time
from typing import Any

import pluggy

from . import discovery, hookspecs
from .config import KernelSettings, decode, unknown_plugins
from .discovery import Classes, Found
from .errors import ConfigError, KernelError, PluginError, Problem
from .hooks import Hooks
from .plugin import Plugin
from .services import Service

EMBEDDER = "the embedding program"


class State(enum.StrEnum):
    """What a plugin is doing; ``YIELDING``: a fallback whose place another plugin takes."""

    DISABLED = "disabled"
    YIELDING = "yielding"
    READY = "ready"
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class Record:
    """One installed plugin, as operators see it: its state since when, and why."""

    def __init__(self, found: Found, *, required: bool) -> None:
        self.name, self.found, self.required = found.name, found, required
        self.cls: type[Plugin[Any]] = Plugin  # until its own is imported
        self.plugin: Plugin[Any] | None = None
        self.vital = required
        """It is required, or something that is required needs it."""
        self.excused = False
        """It failed, but only for want of what the real deployment has."""
        self.yields_to = ""
        self.needs = frozenset[str]()
        """Plugins that provide what it requires; without them it can't run."""
        self.state, self.reason, self.since = State.READY, "", time()

    def to(self, state: State, reason: str = "") -> None:
        """Change the state; the first reason of a failure stays."""
        self.state, self.since = state, time()
        self.reason = reason or (self.reason if state is State.FAILED else "")

    def describe(self) -> dict[str, Any]:
        """Return what operators see of the plugin; ``since`` is in seconds since the epoch."""
        found = {it: getattr(self, it) for it in ("name", "state", "reason", "since", "required", "yields_to")}
        found |= {"distribution": self.found.distribution, "version": self.found.version}
        return found | {it: [key.name for key in getattr(self.cls, it)] for it in ("provides", "requires")}


class Wiring:
    """All plugins of one kernel, imported, configured and ordered; nothing is started.

    ``problems`` keep the kernel from starting; ``warnings`` concern plugins that it can go without.
    """

    def __init__(
        self, settings: KernelSettings, plugins: Classes | None, given: Collection[Service[Any]], *, reveal: bool = True
    ) -> None:
        self.settings = settings
        self.warnings: list[Problem] = []
        self.records: dict[str, Record] = {}
        self.providers: dict[Service[Any], str] = dict.fromkeys(given, EMBEDDER)
        self.levels: list[list[str]] = []
        self._left_out: Collection[str] = ()
        found, self.problems = discovery.installed() if plugins is None else (discovery.given(plugins), [])
        self.problems += unknown_plugins(settings, found)
        for name, each in found.items():
            wanted = settings.wish(name)
            self.records[name] = record = Record(each, required=wanted.required)
            if not wanted.enabled:
                record.to(State.DISABLED)
                continue
            try:
                record.cls = discovery.load(each)
                record.plugin = record.cls(decode(settings, name, record.cls.config_type, reveal=reveal))
            except KernelError as exc:
                self.rule_out(record, exc)
        self._find_providers()
        self.hooks = Hooks(
            lambda name: self.records[name].plugin is not None, lambda name: self.records[name].state is State.RUNNING
        )
        self._register_hooks()
        self._order()

    def rule_out(self, record: Record, error: KernelError) -> None:
        """Note that a plugin can't be used: the kernel's problem where it is required, else a warning."""
        (self.problems if record.required else self.warnings).extend(error.problems)
        record.excused = all(problem.deployment_only for problem in error.problems)
        record.to(State.FAILED, str(error))

    def chosen(self) -> dict[str, Record]:
        """Return the plugins that are to run."""
        return {n: r for n, r in self.records.items() if r.state is State.READY and n not in self._left_out}

    def _find_providers(self) -> None:
        for record in sorted(self.records.values(), key=lambda it: it.cls.fallback):
            fallback = record.cls.fallback
            if fallback and len(record.cls.provides) != 1:
                self.rule_out(record, PluginError(record.name, "is a fallback, so it must provide one service"))
                continue
            for key in record.cls.provides:
                holder = self.providers.setdefault(key, record.name)
                other = self.records.get(holder)
                if fallback and not (other and other.cls.fallback):
                    record.to(State.YIELDING, f"yields to {holder!r}")
                    record.yields_to, record.plugin = holder, None
                elif holder != record.name:
                    what = f"provides {key}, and so does {holder!r}"
                    self.problems.append(Problem(f"plugin {record.name!r}", what, "disable one of them"))

    def _register_hooks(self) -> None:
        self.hooks.add_specs(hookspecs)
        there = [r for r in self.records.values() if r.cls is not Plugin and r.state is not State.YIELDING]
        for record in there:
            if record.cls.hookspecs is not None:
                self._try(record, self.hooks.add_specs, record.cls.hookspecs)
        for record in there:
            # One that can't be used is still an implementer: whoever asks must see it missing.
            self._try(record, self.hooks.register, record.plugin or record.cls.__new__(record.cls), record.name)
        for problem in self.hooks.problems():
            self.rule_out(self.records[problem.where], PluginError(problem.where, problem.what, hint=problem.hint))
        tags: dict[str, str] = {}
        for name, types in self.hooks.collect(hookspecs.event_types).items():
            for kind in types if not isinstance(types, Exception) else ():
                tag = str(kind.__struct_config__.tag)
                if "." not in tag or tags.setdefault(tag, name) != name:
                    who = f"is that of {tags[tag]!r}" if tag in tags else "must read 'owner.name'"
                    error = PluginError(name, f"the tag {tag!r} of event {kind.__name__} {who}")
                    self.rule_out(self.records[name], error)

    def _try(self, record: Record, step: Callable[..., None], *arguments: object) -> None:
        try:
            step(*arguments)
        except (ValueError, pluggy.PluginValidationError) as exc:
            self.rule_out(record, PluginError(record.name, " ".join(str(exc).split())))

    def check(self) -> None:
        """Ask the plugins whether they object to their deployment."""
        for name, answer in self.hooks.collect(hookspecs.check, self.hooks).items():
            if answer and self.records[name].state is State.READY:
                raised = PluginError(name, f"its check raised {answer!r}")
                self.rule_out(self.records[name], raised if isinstance(answer, Exception) else ConfigError(*answer))
        self._order()

    def keep(self, names: Collection[str]) -> None:
        """Leave out all but ``names`` and what they need: for a command that needs no more."""
        wanted, todo = set[str](), set(names)
        while todo:
            wanted |= todo
            todo = {n for name in todo for n in self.records[name].needs} - wanted
        self._left_out = self.records.keys() - wanted
        self._order()

    def _order(self) -> None:
        """Rule out what misses something, and so on up; sort the rest into levels."""
        chosen, before = self.chosen(), 0
        while len(chosen) != before:
            before, usable = len(chosen), {EMBEDDER, *chosen}
            for name, record in chosen.items():
                if keys := [key for key in record.cls.requires if self.providers.get(key) not in usable]:
                    holders = [self.records.get(self.providers.get(key, "")) for key in keys]
                    excused = all(holder and holder.excused for holder in holders)
                    self.rule_out(record, PluginError(name, self._why(keys), deployment_only=excused))
            chosen = self.chosen()
        inner = frozenset(name for name, record in chosen.items() if not record.cls.surface)
        graph = {}
        for name, record in chosen.items():
            record.needs = self._names(record.cls.requires) & chosen.keys() - {name}
            after = self._names(record.cls.after) & chosen.keys() - {name}
            graph[name] = record.needs | after | (inner if record.cls.surface else frozenset())
        self.levels, sorter = [], TopologicalSorter(graph)
        try:
            sorter.prepare()
        except CycleError as exc:
            path = " -> ".join(exc.args[1])
            problem = Problem(f"plugin {exc.args[1][0]!r}", f"needs itself in the end: {path}", "disable one of them")
            self.problems += [problem] if problem not in self.problems else []
            return
        while sorter.is_active():
            level = sorted(sorter.get_ready())
            self.levels.append(level)
            sorter.done(*level)
        for level in reversed(self.levels):
            for name in level:
                others = (it for it in chosen.values() if name in it.needs)
                chosen[name].vital = chosen[name].required or any(it.vital for it in others)

    def _names(self, keys: Sequence[Service[Any]]) -> frozenset[str]:
        return frozenset(self.providers[key] for key in keys if key in self.providers)

    def _why(self, keys: Sequence[Service[Any]]) -> str:
        """Say what is missing, and who would provide it, or else might."""
        out = {r.name: f"{r.name!r} is {r.state}" for r in self.records.values() if r.name not in self.chosen()}
        who = [out[name] for name in self._names(keys) if name in out] or [*out.values()] or ["install one"]
        return f"requires {', '.join(map(str, keys))}, which no enabled plugin provides ({'; '.join(who)})"
