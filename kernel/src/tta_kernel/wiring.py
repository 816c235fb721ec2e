"""Which plugins there are, what each gives and needs, and in what order they start."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Collection, Sequence
from graphlib import CycleError, TopologicalSorter
from time import time
from types import ModuleType
from typing import Any

import pluggy

from . import discovery, hookspecs
from .discovery import Classes, Found
from .errors import ConfigError, KernelError, PluginError, Problem
from .hooks import Hooks
from .plugin import Plugin
from .services import Service
from .settings import KernelSettings, unknown_plugins
from .spelling import close, suggest

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
        self.yields_to = ""
        self.needs = frozenset[str]()
        """Plugins that provide what it requires; without them it can't run."""
        self.problems: list[Problem] = []
        """What is wrong with itself."""
        self.causes: list[Record] = []
        """What is wrong with others, so that it can't be used."""
        self.behind: list[Record] = []
        """Those of which it is a cause."""
        self.state, self.reason, self.since = State.READY, "", time()

    def to(self, state: State, reason: str = "") -> None:
        """Change the state; the first reason of a failure stays."""
        self.state, self.since = state, time()
        self.reason = reason or (self.reason if state is State.FAILED else "")

    def trouble(self) -> str:
        """Say why others have to do without it."""
        return "can't be used" if self.state is State.FAILED else f"is {self.state}"

    def role(self) -> tuple[bool, str, bool]:
        """Return what only a restart changes: whether it runs, for whom it makes room, whether it is required."""
        enabled = self.state is not State.DISABLED
        return enabled, self.yields_to, enabled and self.required

    def describe(self) -> dict[str, Any]:
        """Return what operators see of the plugin; ``since`` is in seconds since the epoch."""
        found = {it: getattr(self, it) for it in ("name", "state", "reason", "since", "required", "yields_to")}
        found |= {"distribution": self.found.distribution, "version": self.found.version}
        return found | {it: [key.name for key in getattr(self.cls, it)] for it in ("provides", "requires")}


class Wiring:
    """All plugins of one kernel, imported, configured and ordered; nothing is started.

    ``plugins`` are the host's own, alone or beside what is ``installed``; ``given`` are services that the
    embedding program provides, and ``specs`` are modules with hooks of its own.
    """

    def __init__(
        self,
        settings: KernelSettings,
        plugins: Classes | None,
        given: Collection[Service[Any]],
        *,
        installed: bool = False,
        specs: Sequence[ModuleType] = (),
    ) -> None:
        self.settings = settings
        self._plugins = plugins
        self._given = given
        self._installed = installed
        self._specs = specs
        self.records: dict[str, Record] = {}
        self.providers: dict[Service[Any], str] = dict.fromkeys(given, EMBEDDER)
        self.levels: list[list[str]] = []
        self.notes: list[Problem] = []
        found, self.general = discovery.find(plugins, beside=installed)
        """What is wrong with no plugin in particular."""
        self.general += unknown_plugins(settings, found)
        for name, each in found.items():
            section = settings.plugins.get(name)
            self.records[name] = record = Record(each, required=section is None or section.required)
            try:
                self._choose(record, named=section is not None or each.given is not None)
            except KernelError as exc:
                self.rule_out(record, exc)
        off = (record for record in self.records.values() if record.state is State.DISABLED)
        self._dormant = {record.name: cls for record in off if (cls := discovery.seen(record.found))}
        """What is disabled, as far as something else has imported it: to say what is missed with it."""
        self._find_providers()
        self.hooks = Hooks(self.records, settings.hook_timeouts)
        self._register_hooks()
        self._check_hook_timeouts()
        self._order()

    def _choose(self, record: Record, *, named: bool) -> None:
        """Construct a plugin that is to run; what is disabled, or must be named and isn't, is left alone."""
        name, settings = record.name, self.settings
        if name in settings.plugins and not settings.plugins[name].enabled:
            record.to(State.DISABLED)
            return
        cls = discovery.load(record.found) if named or settings.autoload else None
        if cls is None or not (named or cls.autoload):
            record.to(State.DISABLED, f"runs only where config names it: plugins.{name}: {{enabled: true}}")
            return
        record.cls = cls
        record.plugin = cls(settings.decode(name, cls.config_type))

    def anew(self, settings: KernelSettings) -> Wiring:
        """Wire the same plugins with other settings."""
        return Wiring(settings, self._plugins, self._given, installed=self._installed, specs=self._specs)

    @property
    def problems(self) -> list[Problem]:
        """What keeps the kernel from starting, each cause before what follows from it."""
        return self.general + self._findings(vital=True)

    @property
    def warnings(self) -> list[Problem]:
        """What is wrong with plugins that the kernel can go without."""
        return self._findings(vital=False)

    def _findings(self, *, vital: bool) -> list[Problem]:
        found: list[Problem] = []
        for cause in self.records.values():
            behind, own = sorted(cause.behind, key=lambda it: it.name), cause.problems
            if any(it.required for it in (*behind, *([cause] if own else ()))) is not vital:
                continue
            where, hint = f"plugin {cause.name!r}", "" if own else "enable it, or disable what needs it"
            what = f"{cause.trouble()}, and {len(behind)} that need it can't run: {', '.join(it.name for it in behind)}"
            if len(behind) == 1:
                where, what = f"plugin {behind[0].name!r}", behind[0].reason
            only = bool(own) and all(it.deployment_only for it in own)
            found += [*own, Problem(where, what, hint, only)] if behind else own
        return found

    def rule_out(self, record: Record, error: KernelError) -> None:
        """Note that a plugin can't be used."""
        record.problems += error.problems
        record.to(State.FAILED, str(error))

    def _miss(self, record: Record, owner: Record, what: str) -> None:
        """Note that a plugin can't be used for want of another."""
        for cause in owner.causes or [owner]:
            if record not in cause.behind:
                cause.behind.append(record)
                record.causes.append(cause)
        record.to(State.FAILED, f"{what}, which {owner.trouble()}")

    def chosen(self) -> dict[str, Record]:
        """Return the plugins that are to run."""
        return {name: record for name, record in self.records.items() if record.state is State.READY}

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
                    self.general.append(Problem(f"plugin {record.name!r}", what, "disable one of them"))

    def _register_hooks(self) -> None:
        for module in (hookspecs, *self._specs):
            self.hooks.add_specs(module)
        there = [r for r in self.records.values() if r.cls is not Plugin and r.state is not State.YIELDING]
        for record in there:
            if record.cls.hookspecs is not None:
                self._try(record, self.hooks.add_specs, record.cls.hookspecs)
        for record in there:
            # One that can't be used is still an implementer: whoever asks must see it missing.
            self._try(record, self.hooks.register, record.plugin or record.cls.__new__(record.cls), record.name)
        for name, hook, flaw in self.hooks.flaws():
            record, meant = self.records[name], close(hook, self.hooks.specs(), 0.75)
            if owner := self._dormant_owner(hook):
                self._miss(record, self.records[owner], f"hook {hook!r} belongs to {owner!r}")
            elif flaw:
                self.rule_out(record, PluginError(name, flaw, hint="its hookspec is"))
            else:
                hint = "enable the plugin that specifies it, or mark it `@hookimpl(optionalhook=True)`"
                hint = f"did you mean {meant!r}?" if meant else hint
                self.rule_out(record, PluginError(name, f"implements an unknown hook {hook!r}", hint=hint))
        tags: dict[str, str] = {}
        for name, types in self.hooks.collect(hookspecs.event_types).items():
            for kind in types if not isinstance(types, Exception) else ():
                tag = str(kind.__struct_config__.tag)
                if "." not in tag or tags.setdefault(tag, name) != name:
                    who = f"is that of {tags[tag]!r}" if tag in tags else "must read 'owner.name'"
                    error = PluginError(name, f"the tag {tag!r} of event {kind.__name__} {who}")
                    self.rule_out(self.records[name], error)

    def _check_hook_timeouts(self) -> None:
        """Object to a time limit that no hook would keep."""
        if any(record.cls is Plugin and record.state is State.FAILED for record in self.records.values()):
            return  # It may be for a hook of what couldn't be imported, which is told already.
        specs = self.hooks.specs()
        timed = [name for name, spec in specs.items() if inspect.iscoroutinefunction(spec)]
        for name in self.settings.hook_timeouts:
            if name in timed or self._dormant_owner(name):
                continue
            what, hint = "no enabled plugin specifies a hook of that name", suggest(name, timed)
            if name in specs:
                what, hint = "this hook is called without waiting, and has no time limit", "leave it out"
            self.general.append(self.settings.problem(f"kernel.hook_timeouts.{name}", what, hint))

    def _dormant_owner(self, hook: str) -> str | None:
        """Name a disabled plugin that specifies a hook."""
        owners = (n for n, cls in self._dormant.items() if hasattr(getattr(cls.hookspecs, hook, None), "tta_rules"))
        return next(owners, None)

    def _try(self, record: Record, step: Callable[..., None], *arguments: object) -> None:
        try:
            step(*arguments)
        except (ValueError, pluggy.PluginValidationError) as exc:
            self.rule_out(record, PluginError(record.name, " ".join(str(exc).split())))

    def check(self) -> None:
        """Ask the plugins whether they object to their deployment."""
        self.notes = []
        for name, answer in self.hooks.collect(hookspecs.check, self.hooks).items():
            if self.records[name].state is not State.READY:
                continue
            if isinstance(answer, Exception):
                self.rule_out(self.records[name], PluginError(name, f"its check raised {answer!r}"))
                continue
            self.notes += [problem for problem in answer if problem.note]
            if objections := [problem for problem in answer if not problem.note]:
                self.rule_out(self.records[name], ConfigError(*objections))
        self._order()

    def keep(self, names: Collection[str]) -> None:
        """Leave out all but ``names`` and what they need: for a command that needs no more."""
        wanted, todo = set[str](), set(names)
        while todo:
            wanted |= todo
            todo = {n for name in todo for n in self.records[name].needs} - wanted
        for name in self.chosen().keys() - wanted:
            self.records[name].to(State.DISABLED, "the command doesn't need it")
        self._order()

    def _order(self) -> None:
        """Rule out what misses something, and so on up; sort the rest into levels."""
        chosen, before = self.chosen(), 0
        while len(chosen) != before:
            before = len(chosen)
            for record in chosen.values():
                for key in record.cls.requires:
                    self._look_for(key, record, {EMBEDDER, *chosen})
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
            self.general += [problem] if problem not in self.general else []
            return
        while sorter.is_active():
            level = sorted(sorter.get_ready())
            self.levels.append(level)
            sorter.done(*level)
        for level in reversed(self.levels):
            for name in level:
                others = (it for it in chosen.values() if name in it.needs)
                chosen[name].vital = chosen[name].required or any(it.vital for it in others)

    def _look_for(self, key: Service[Any], record: Record, usable: Collection[str]) -> None:
        """Rule a plugin out if what it requires isn't there, and name who provides it, or else might."""
        dormant = (name for name, cls in self._dormant.items() if key in cls.provides)
        holder = self.providers.get(key) or next(dormant, None)
        if holder is None:
            strange = [repr(r.name) for r in self.records.values() if r.cls is Plugin and r.name not in self._dormant]
            hint = f"install one, or look at {', '.join(strange)}" if strange else "install one"
            what = f"requires {key}, which no enabled plugin provides"
            self.rule_out(record, PluginError(record.name, what, hint=hint))
        elif holder not in usable:
            self._miss(record, self.records[holder], f"requires {key} of {holder!r}")

    def _names(self, keys: Sequence[Service[Any]]) -> frozenset[str]:
        return frozenset(self.providers[key] for key in keys if key in self.providers)
