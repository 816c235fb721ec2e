"""Taking a new config over while the kernel runs, in two phases: everybody agrees, or nothing changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import anyio
import msgspec

from .errors import ConfigError, Problem
from .isolation import as_failure
from .plugin import Plugin
from .records import Record, State
from .shapes import fits
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
    before, after = running.settings, fresh.settings
    # Time limits of hooks are looked up each time, so the kernel takes them over.
    compared = [key for key in after.keys if key in before.keys and key != "hook_timeouts"]
    restart = [f"kernel.{key}" for key in compared if getattr(after, key) != getattr(before, key)]
    changes: dict[str, Change] = {}
    problems: list[Problem] = []
    for name in sorted({*running.records, *fresh.records}):
        old = running.records.get(name)
        new = fresh.records.get(name)
        if old is None or new is None or old.role() != new.role():
            restart.append(name)
            continue
        try:
            if old.plugin is None or new.plugin is None or old.plugin.config == new.plugin.config:
                continue
            if not _adapts(old):
                restart.append(name)
                continue
            with anyio.move_on_after(old.plugin.start_timeout or fresh.settings.start_timeout) as scope:
                commit = await old.plugin.prepare(new.plugin.config)
            if scope.cancel_called:  # even where an answer came, too late
                raise TimeoutError("no answer within its time to start")
            # Fail now, since a commit can't.
            if not fits(commit, Callable):
                raise TypeError("`prepare` must return a plain function that takes the config over")
            changes[name] = Change(old.plugin, new.plugin.config, commit)
        except BaseException as exc:  # noqa: BLE001 - whatever it raises, it does not agree
            failure = as_failure(exc)
            problems += (isinstance(failure, ConfigError) and failure.problems) or [
                Problem(f"plugins.{name}.config", f"{name!r} objects: {failure}")
            ]
    if problems:
        raise ConfigError(*problems)
    return changes, restart


def _adapts(record: Record) -> bool:
    """Say whether a plugin can take a new config over where it is."""
    return record.state is State.RUNNING and record.cls.prepare is not Plugin.prepare
