"""Which plugins there are, what each gives and needs, and in what order they start."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from graphlib import CycleError, TopologicalSorter
from types import ModuleType
from typing import Any

from . import discovery, hookspecs
from .discovery import Classes
from .errors import ConfigError, PluginError, Problem
from .hooks import Hooks
from .isolation import as_failure
from .plugin import Plugin
from .records import Record, State, findings
from .services import Service
from .settings import KernelSettings, unknown_plugins
from .spelling import suggest

HOST = "the host program"
"""What a service's provider is called where the program around the kernel handed it in."""


class Wiring:
    """All plugins of one kernel, imported, configured and ordered; nothing is started.

    ``plugins`` are the host's own, alone or beside what is ``installed``; ``given`` are services that the
    host provides, and ``specs`` are modules with hooks of its own. ``with_settings`` wires the same plugins with other
    settings. Plugins of one of the ``levels`` start together, each level after those that it needs; ``notes`` are what
    plugins remark on their deployment.
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
        self.with_settings = partial(Wiring, plugins=plugins, given=given, installed=installed, specs=specs)
        self.records: dict[str, Record] = {}
        self.providers: dict[Service[Any], str] = dict.fromkeys(given, HOST)
        self.levels: list[list[str]] = []
        self.notes: list[Problem] = []
        # Disabled plugins that something else has imported: to say what is missed with them.
        self._dormant: dict[str, type[Plugin[Any]]] = {}
        self._find_plugins(plugins, installed=installed)
        self._find_providers()
        self.hooks = Hooks(self.records, self.settings.hook_timeouts)
        self.hooks.providers = self.providers
        self._register_hooks(specs)
        self._check_event_tags()
        self._check_hook_timeouts()
        self._order()

    @property
    def problems(self) -> list[Problem]:
        """What keeps the kernel from starting, each cause before what follows from it."""
        return [*map(self.settings.placed, self.general + findings(self.records.values(), vital=True))]

    @property
    def warnings(self) -> list[Problem]:
        """What is wrong with plugins that the kernel can go without."""
        return [*map(self.settings.placed, findings(self.records.values(), vital=False))]

    def chosen(self) -> dict[str, Record]:
        """Return the plugins that are to run."""
        return {name: record for name, record in self.records.items() if record.state is State.READY}

    def check(self) -> None:
        """Ask the plugins whether they object to their deployment."""
        self.notes = []
        answers = self.hooks.collect(hookspecs.check, self.hooks)
        for name, record in self.chosen().items():
            answer = answers.get(name, ())
            if isinstance(answer, Exception):
                record.rule_out(PluginError(name, f"its check raised {answer!r}"))
                continue
            for problem in answer:
                if problem.note:
                    self.notes.append(self.settings.placed(problem))
                else:
                    self.records.get(problem.plugin, record).rule_out(ConfigError(problem))
        self._order()

    def _find_plugins(self, own: Classes | None, *, installed: bool) -> None:
        """Import and construct whatever is to run."""
        # General is what is wrong with no plugin in particular.
        found, self.general = discovery.find(own, beside=installed)
        self.general += unknown_plugins(self.settings, found)
        for name, each in found.items():
            section = self.settings.plugins.get(name)
            record = Record(each, required=section is None or section.required)
            self.records[name] = record
            try:
                self._choose(record, named=section is not None or each.own is not None)
            except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
                record.rule_out(as_failure(exc))
        # Only now, since importing one plugin may import the module of another.
        for record in self.records.values():
            if record.state is State.DISABLED and (cls := discovery.seen(record.found)):
                self._dormant[record.name] = cls

    def _choose(self, record: Record, *, named: bool) -> None:
        """Construct a plugin that is to run; what is disabled, or must be named and isn't, is left alone."""
        name = record.name
        settings = self.settings
        if name in settings.plugins and not settings.plugins[name].enabled:
            layer = settings.where(f"plugins.{name}.enabled")
            record.change_to(State.DISABLED, layer and f"as {layer} says")
            return
        cls = discovery.load(record.found) if named or settings.autoload else None
        if cls is None or not (named or cls.autoload):
            record.change_to(State.DISABLED, f"runs only where config names it: plugins.{name}: {{enabled: true}}")
            return
        record.cls = cls
        plugin = cls(settings.decode(name, cls.config_type))
        if not isinstance(plugin, cls):
            raise TypeError("its class makes something else")
        record.plugin = plugin

    def _find_providers(self) -> None:
        # Fallbacks come last, so that each sees who else provides its service.
        for record in sorted(self.records.values(), key=lambda it: it.cls.fallback):
            if record.cls.fallback and len(record.cls.provides) != 1:
                record.rule_out(PluginError(record.name, "is a fallback, so it must provide one service"))
                continue
            for key in record.cls.provides:
                holder = self.providers.setdefault(key, record.name)
                other = self.records.get(holder)
                if other is record:
                    continue
                if record.cls.fallback and not (other and other.cls.fallback):
                    record.change_to(State.YIELDING, f"yields to {holder!r}")
                    record.yields_to = holder
                    record.plugin = None
                else:
                    what = f"provides {key}, and so does {holder!r}"
                    self.general.append(Problem(f"plugin {record.name!r}", what, "disable one of them"))

    def _register_hooks(self, specs: Sequence[ModuleType]) -> None:
        for module in (hookspecs, *specs):
            self.hooks.add_specs(module)
        enabled = [it for it in self.records.values() if it.state not in (State.DISABLED, State.YIELDING)]
        for record in enabled:
            if record.cls.hookspecs is not None:
                self._try(record, self.hooks.add_specs, record.cls.hookspecs)
        # One that can't be used is still an implementer: whoever asks must see it missing.
        for record in enabled:
            flaws = self._try(record, self.hooks.register, record.name, record.cls, record.plugin)
            if flaws is None or not record.imported:
                self.hooks.bar(record.name)
            for hook, flaw in flaws or ():
                self._refuse_hook(record, hook, flaw)

    def _try(self, record: Record, step: Callable[..., Any], *arguments: object) -> Any:
        try:
            return step(*arguments)
        except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
            record.rule_out(PluginError(record.name, str(as_failure(exc))))

    def _refuse_hook(self, record: Record, hook: str, flaw: str) -> None:
        """Rule a plugin out that implements a hook wrongly, or one that no enabled plugin specifies."""
        if flaw:
            spec = self.hooks.specs()[hook]
            form = f"{'async ' if inspect.iscoroutinefunction(spec) else ''}def {hook}"
            given = ", ".join(["self", *inspect.signature(spec).parameters])
            record.rule_out(
                PluginError(
                    record.name,
                    f"hook {hook!r}: {flaw}",
                    hint=f"mark it `@hookimpl`, and write it as `{form}({given})`, with all or some of these",
                )
            )
        elif owner := self._dormant_owner(hook):
            record.miss(self.records[owner], f"hook {hook!r} belongs to {owner!r}")
        else:
            hint = "enable the plugin that specifies it, or mark it `@hookimpl(optionalhook=True)`"
            record.rule_out(PluginError(record.name, f"implements an unknown hook {hook!r}", hint=hint))

    def _dormant_owner(self, hook: str) -> str | None:
        """Name a disabled plugin that specifies a hook."""
        for name, cls in self._dormant.items():
            if hasattr(getattr(cls.hookspecs, hook, None), "tta_rules"):
                return name
        return None

    def _check_event_tags(self) -> None:
        """Rule plugins out whose events could not be told from those of others."""
        owners: dict[str, str] = {}
        answers = self.hooks.collect(hookspecs.event_types)
        for name, record in self.chosen().items():
            types = answers.get(name, ())
            if isinstance(types, Exception):
                record.rule_out(types)
                continue
            for kind in types:
                tag = str(kind.__struct_config__.tag)
                owner = owners.setdefault(tag, name)
                if "." in tag and owner == name:
                    continue
                flaw = f"is that of {owner!r}" if "." in tag else "must read 'owner.name'"
                record.rule_out(PluginError(name, f"the tag {tag!r} of event {kind.__name__} {flaw}"))

    def _check_hook_timeouts(self) -> None:
        """Object to a time limit that no hook would keep."""
        if any(it.state is State.FAILED and not it.imported for it in self.records.values()):
            return  # It may be for a hook of what couldn't be imported, which is told already.
        timed = [name for name, spec in self.hooks.specs().items() if inspect.iscoroutinefunction(spec)]
        for name in map(str, self.settings.hook_timeouts):
            if name not in timed:
                what = "no enabled plugin specifies an async hook of that name"
                self.general.append(Problem(f"kernel.hook_timeouts.{name}", what, suggest(name, timed)))

    def _order(self) -> None:
        """Rule out what misses something, and so on up; sort the rest into levels."""
        self._rule_out_what_misses()
        chosen = self.chosen()
        graph = self._graph(chosen)
        self.levels = []
        sorter = TopologicalSorter(graph)
        try:
            sorter.prepare()
        except CycleError as exc:
            circle = exc.args[1]
            problem = Problem(
                f"plugin {circle[0]!r}", f"needs itself in the end: {' -> '.join(circle)}", "disable one of them"
            )
            if problem not in self.general:
                self.general.append(problem)
            return
        while sorter.is_active():
            level = sorted(sorter.get_ready())
            self.levels.append(level)
            sorter.done(*level)
        # From the top down, so that each dependent is judged before what it needs.
        for level in reversed(self.levels):
            for name in level:
                record = chosen[name]
                record.vital = record.required or any(it.vital for it in chosen.values() if name in it.needs)

    def _rule_out_what_misses(self) -> None:
        before: object = None
        while (chosen := self.chosen()) != before:
            before = chosen
            for record in chosen.values():
                for key in record.cls.requires:
                    self._look_for(key, record, {HOST, *chosen})

    def _look_for(self, key: Service[Any], record: Record, usable: Collection[str]) -> None:
        """Rule a plugin out if what it requires isn't there, and name who provides it, or else might."""
        dormant = (name for name, cls in self._dormant.items() if key in cls.provides)
        holder = self.providers.get(key) or next(dormant, None)
        if holder is None:
            # One that wasn't imported may provide it.
            unknown = [
                repr(it.name) for it in self.records.values() if not it.imported and it.name not in self._dormant
            ]
            hint = f"install one, or look at {', '.join(unknown)}" if unknown else "install one"
            if repr(key) in map(repr, self.providers):
                hint = "another key of that name is provided: import that one, and make none"
            what = f"requires {key}, which no enabled plugin provides"
            record.rule_out(PluginError(record.name, what, hint=hint))
        elif holder not in usable:
            record.miss(self.records[holder], f"requires {key} of {holder!r}")

    def _graph(self, chosen: Mapping[str, Record]) -> dict[str, frozenset[str]]:
        """Return by name what must have started before; surfaces wait for all others."""
        inner = frozenset(name for name, record in chosen.items() if not record.cls.surface)
        graph = {}
        for name, record in chosen.items():
            others = chosen.keys() - {name}
            record.needs = self._providers_of(record.cls.requires) & others
            before = record.needs | (self._providers_of(record.cls.after) & others)
            if record.cls.surface:
                before |= inner
            graph[name] = before
        return graph

    def _providers_of(self, keys: Sequence[Service[Any]]) -> frozenset[str]:
        return frozenset(self.providers[key] for key in keys if key in self.providers)
