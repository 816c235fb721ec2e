"""Taking a new config over while the kernel runs, in two phases: everybody agrees, or nothing changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import anyio
import msgspec

from .errors import ConfigError, Problem
from .plugin import Plugin
from .records import Record, State
from .settings import KernelKeys
from .wiring import Wiring


class Reloaded(msgspec.Struct, frozen=True):
    """What a reload did: plugins and keys that changed, and all that still waits for a restart."""

    changed: Sequence[str] = ()
    restart_needed: Sequence[str] = ()


class Change(NamedTuple):
    """What a plugin has agreed to: ``commit`` takes the config over, and can't fail."""

    plugin: Plugin[Any]
    config: msgspec.Struct
    commit: Callable[[], None]


async def prepare(running: Wiring, fresh: Wiring) -> tuple[Mapping[str, Change], Sequence[str]]:
    """Ask every plugin with a new config to agree; return their changes, and what needs a restart.

    The rest is compared with what runs, whatever earlier reloads said. Raises `ConfigError` with every
    objection.
    """
    restart = [
        f"kernel.{key}"
        for key in KernelKeys.__struct_fields__
        # Time limits of hooks are looked up each time, so the kernel takes them over.
        if key != "hook_timeouts" and getattr(fresh.settings, key) != getattr(running.settings, key)
    ]
    changes: dict[str, Change] = {}
    problems: list[Problem] = []
    for name in sorted({*running.records, *fresh.records}):
        old = running.records.get(name)
        new = fresh.records.get(name)
        if old is None or new is None or old.role() != new.role():
            restart.append(name)
            continue
        if old.plugin is None or new.plugin is None or old.plugin.config == new.plugin.config:
            continue
        if not _adapts(old):
            restart.append(name)
            continue
        try:
            with anyio.fail_after(old.plugin.start_timeout or fresh.settings.start_timeout):
                commit = await old.plugin.prepare(new.plugin.config)
            changes[name] = Change(old.plugin, new.plugin.config, commit)
        except ConfigError as exc:
            problems += exc.problems
        except Exception as exc:  # noqa: BLE001 - whatever it raises, it does not agree
            problems.append(Problem(f"plugins.{name}.config", f"{name!r} objects: {exc}"))
    if problems:
        raise ConfigError(*problems)
    return changes, restart


def _adapts(record: Record) -> bool:
    """Say whether a plugin can take a new config over where it is."""
    return record.state is State.RUNNING and record.cls.prepare is not Plugin.prepare
