"""Taking a new config over while the kernel runs: in two phases, so that nothing is half-applied."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import anyio
import msgspec

from .config import KernelSettings, PluginSettings, decode, load, unknown_plugins
from .errors import ConfigError, Problem
from .plugin import Plugin
from .wiring import State, Wiring

log = logging.getLogger("tta.kernel")


class Reloaded(msgspec.Struct, frozen=True):
    """What a reload did: plugins whose config changed, and what only a restart can change."""

    changed: Sequence[str] = ()
    restart_needed: Sequence[str] = ()


def load_again(settings: KernelSettings) -> KernelSettings:
    """Read the files again that ``settings`` came from."""
    source = settings.source
    if not source.environment:
        raise ConfigError(Problem("reload", "these settings came from no files", "give new settings"))
    return load(source.folder, source.environment)


async def reload(wiring: Wiring, new: KernelSettings) -> Reloaded:
    """Decode everything, ask each changed plugin to prepare, then run all the commits."""
    problems: list[Problem] = list(unknown_plugins(new, wiring.records))
    commits = []
    restart = _kernel_changes(wiring.settings, new)
    for name, record in wiring.records.items():
        old_wish = wiring.settings.plugins.get(name, _default(wiring.settings))
        new_wish = new.plugins.get(name, _default(new))
        if (old_wish.enabled, old_wish.required) != (new_wish.enabled, new_wish.required):
            restart.append(name)
        if record.cls is None or not new_wish.enabled:
            continue
        try:
            config = decode(new, name, record.cls.config_type)
        except ConfigError as exc:
            problems += exc.problems
            continue
        plugin = record.plugin
        if plugin is None or plugin.config == config or name in restart:
            continue
        if type(plugin).prepare is Plugin.prepare or record.state is not State.RUNNING:
            restart.append(name)
            continue
        try:
            with anyio.fail_after(plugin.start_timeout or new.start_timeout):
                commits.append((name, plugin, config, await plugin.prepare(config)))
        except ConfigError as exc:
            problems += exc.problems
        except Exception as exc:  # noqa: BLE001 - whatever it raises, it does not agree
            problems.append(Problem(f"plugins.{name}.config", f"{name!r} objects: {exc}"))
    if problems:
        raise ConfigError(*problems)
    for _, plugin, config, commit in commits:
        commit()
        plugin.config = config
    done = Reloaded([name for name, *_ in commits], restart)
    log.info("reloaded; changed: %s; need a restart: %s", done.changed, done.restart_needed)
    return done


def _default(settings: KernelSettings) -> PluginSettings:
    return PluginSettings(enabled=settings.autoload)


def _kernel_changes(old: KernelSettings, new: KernelSettings) -> list[str]:
    fields = (f for f in KernelSettings.__struct_fields__ if f not in ("plugins", "source"))
    return [f"kernel.{f}" for f in fields if getattr(old, f) != getattr(new, f)]
