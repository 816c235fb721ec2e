"""Which plugins there are, what each gives and needs, and in what order they start."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from time import time
from typing import Any

import msgspec
import pluggy

from . import discovery, hookspecs
from .config import KernelSettings, PluginSettings, decode, unknown_plugins
from .discovery import Found
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

    def __init__(self, found: Found, settings: PluginSettings) -> None:
        self.name, self.found, self.required = found.name, found, settings.required
        self.cls: type[Plugin[Any]] | None = None
        self.plugin: Plugin[Any] | None = None
        self.yields_to = ""
        self.needs: frozenset[str] = frozenset()
        """Plugins that provide what it requires; without them it can't run."""
        self.after: frozenset[str] = frozenset()
        self.state, self.reason, self.since = State.READY, "", time()

    def to(self, state: State, reason: str = "") -> None:
        """Change the state; the first reason of a failure stays."""
        self.state, self.since = state, time()
        self.reason = reason or (self.reason if state is State.FAILED else "")

    def describe(self) -> Described:
        """Return what operators see of the plugin."""
        cls = self.cls or Plugin
        return Described(
            self.name,
            self.found.distribution,
            self.found.version,
            self.state,
            self.reason,
            self.since,
            self.required,
            [k.name for k in cls.provides],
            [k.name for k in cls.requires],
            self.yields_to,
        )


class Described(msgspec.Struct, frozen=True):
    """A plugin as operators see it; ``since`` is in seconds since the epoch."""

    name: str
    distribution: str
    version: str
    state: str
    reason: str
    since: float
    required: bool
    provides: Sequence[str]
    requires: Sequence[str]
    yields_to: str


class Wiring:
    """All plugins of one kernel, imported, configured and ordered; nothing is started.

    ``problems`` keep the kernel from starting; ``warnings`` concern plugins that it can go without.
    """

    def __init__(
        self, settings: KernelSettings, plugins: Mapping[str, type[Plugin[Any]]] | None, given: Collection[Service[Any]]
    ) -> None:
        self.settings = settings
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.records: dict[str, Record] = {}
        self.providers: dict[Service[Any], str] = dict.fromkeys(given, EMBEDDER)
        self.levels: list[list[str]] = []
        self._left_out: set[str] = set()
        if plugins is None:
            found, problems = discovery.installed()
            self.problems += problems
        else:
            found = discovery.given(plugins)
        self.problems += unknown_plugins(settings, found)
        for name, each in found.items():
            wanted = settings.wish(name)
            self.records[name] = record = Record(each, wanted)
            if not wanted.enabled:
                record.to(State.DISABLED)
                continue
            try:
                record.cls = discovery.load(each)
                config = decode(settings, name, record.cls.config_type)
                record.plugin = record.cls(config)
            except KernelError as exc:
                self.object(record, exc)
        self._find_providers()
        self._connect()
        self.hooks = Hooks(
            lambda name: self.records[name].plugin is not None, lambda name: self.records[name].state is State.RUNNING
        )
        self._register_hooks()
        self._connect()  # Hooks may have ruled somebody out.
        self._order()

    def object(self, record: Record, error: KernelError) -> None:
        """Note that a plugin can't be used: the kernel's problem where it is required, else a warning."""
        problems = [error.problem] if isinstance(error, PluginError) else []
        problems += error.problems if isinstance(error, ConfigError) else []
        (self.problems if record.required else self.warnings).extend(problems)
        record.to(State.FAILED, str(error))

    def chosen(self) -> Iterator[Record]:
        """Return the plugins that are to run."""
        return (r for r in self.records.values() if r.state is State.READY and r.name not in self._left_out)

    def _find_providers(self) -> None:
        enabled = [r for r in self.records.values() if r.cls and r.state is not State.DISABLED]
        for fallback in (False, True):
            for record in enabled:
                assert record.cls is not None
                if record.cls.fallback is not fallback:
                    continue
                if fallback and len(record.cls.provides) != 1:
                    error = PluginError(record.name, "is a fallback, so it must provide one service")
                    self.object(record, error)
                    continue
                for key in record.cls.provides:
                    holder = self.providers.setdefault(key, record.name)
                    if holder == record.name:
                        continue
                    other = self.records.get(holder)
                    if fallback and not (other and other.cls and other.cls.fallback):
                        record.to(State.YIELDING, f"yields to {holder!r}")
                        record.yields_to, record.plugin = holder, None
                        continue
                    self.problems.append(
                        Problem(
                            f"plugin {record.name!r}", f"provides {key}, and so does {holder!r}", "disable one of them"
                        )
                    )

    def _connect(self) -> None:
        """Resolve keys to plugins; whatever misses one can't run, and so on up."""
        changed = True
        while changed:
            changed = False
            for record in list(self.chosen()):
                assert record.cls is not None
                missing = [key for key in record.cls.requires if not self._provided(key)]
                if missing:
                    self.object(record, PluginError(record.name, *self._missing(missing)))
                    changed = True
        for record in self.chosen():
            assert record.cls is not None
            record.needs = self._names(record.cls.requires) - {record.name}
            record.after = self._names(record.cls.after) - record.needs - {record.name}

    def _provided(self, key: Service[Any]) -> bool:
        holder = self.providers.get(key, "")
        return holder == EMBEDDER or (holder in self.records and self.records[holder].state is State.READY)

    def _missing(self, keys: Sequence[Service[Any]]) -> tuple[str]:
        broken = [f"{self.providers[key]!r} provides it, but cannot be used" for key in keys if key in self.providers]
        broken += [
            f"{r.name!r} could not be loaded"
            for r in self.records.values()
            if r.state is State.FAILED and r.cls is None
        ]
        off = [r.name for r in self.records.values() if r.state is State.DISABLED]
        why = "; ".join(broken) or (f"disabled are: {', '.join(off)}" if off else "install one")
        names = ", ".join(map(str, keys))
        return (f"requires {names}, which no enabled plugin provides ({why})",)

    def _names(self, keys: Sequence[Service[Any]]) -> frozenset[str]:
        holders = {self.providers.get(key, "") for key in keys}
        return frozenset(record.name for record in self.chosen() if record.name in holders)

    def _register_hooks(self) -> None:
        self.hooks.add_specs(hookspecs)
        there = [r for r in self.records.values() if r.cls and r.state in (State.READY, State.FAILED)]
        for add in (self._add_specs, self._add_impls):
            for record in there:
                assert record.cls is not None
                try:
                    add(record, record.cls)
                except (ValueError, pluggy.PluginValidationError) as exc:
                    self.object(record, PluginError(record.name, " ".join(str(exc).split())))
        for problem in self.hooks.problems():
            self.object(self.records[problem.where], PluginError(problem.where, problem.what, hint=problem.hint))
        tags: dict[str, str] = {}
        for name, types in self.hooks.collect(hookspecs.event_types).items():
            for kind in types if not isinstance(types, Exception) else ():
                tag = str(kind.__struct_config__.tag)
                if "." not in tag or tags.setdefault(tag, name) != name:
                    who = f"is {tags[tag]!r}'s" if tag in tags else "must read 'owner.name'"
                    self.object(
                        self.records[name], PluginError(name, f"the tag {tag!r} of event {kind.__name__} {who}")
                    )

    def _add_specs(self, record: Record, cls: type[Plugin[Any]]) -> None:
        if cls.hookspecs is not None:
            self.hooks.add_specs(cls.hookspecs)

    def _add_impls(self, record: Record, cls: type[Plugin[Any]]) -> None:
        # One that can't be used is still an implementer: whoever asks must see it missing.
        self.hooks.register(record.plugin or cls.__new__(cls), record.name)

    def check(self) -> None:
        """Ask the plugins whether they object to their deployment."""
        for name, answer in self.hooks.collect(hookspecs.check, self.hooks).items():
            record = self.records[name]
            if record.state is not State.READY:
                continue
            if isinstance(answer, Exception):
                self.object(record, PluginError(name, f"its check raised {answer!r}"))
            elif answer:
                self.object(record, ConfigError(*answer))
        before = len(list(self.chosen()))
        self._connect()
        if before != sum(map(len, self.levels)):
            self._order()

    def _order(self) -> None:
        chosen = {record.name: record for record in self.chosen()}
        inner = {name for name, r in chosen.items() if not (r.cls and r.cls.surface)}
        graph = {
            name: r.needs | r.after | (frozenset() if name in inner else frozenset(inner)) for name, r in chosen.items()
        }
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

    def keep(self, names: Collection[str]) -> None:
        """Leave out all but ``names`` and what they need: for a command that needs no more."""
        wanted, todo = set[str](), set(names)
        while todo:
            wanted |= todo
            todo = {n for name in todo for n in self.records[name].needs} - wanted
        self._left_out = self.records.keys() - wanted
        self._connect()
        self._order()
