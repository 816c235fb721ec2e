"""Taking a new config over while the kernel runs, in two phases: everybody agrees, or nothing changes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import anyio
import msgspec

from tta_kernel import ConfigError, Kernel, KernelError, KernelSettings, Plugin, Problem, State, as_failure
from tta_kernel.errors import overdue
from tta_kernel.records import Record
from tta_kernel.shapes import fits
from tta_kernel.wiring import Wiring

from .config import FROM_CODE, LayeredSettings

log = logging.getLogger("tta.kernel")


class Reloaded(msgspec.Struct, frozen=True):
    """What a reload did: plugins and keys that changed, and all that still waits for a restart."""

    changed: Sequence[str] = ()
    restart_needed: Sequence[str] = ()


@runtime_checkable
class Readable(Protocol):
    """Settings that can be read again, for a reload."""

    def read(self) -> KernelSettings:
        """Return what they say now."""


@runtime_checkable
class ReadsFiles(Protocol):
    """A plugin whose config names files that it reads: a reload asks it also where only these have changed."""

    def files(self) -> object:
        """Return what they said when first asked, or when it last agreed to a config; it is compared by ``==``."""


class Change(NamedTuple):
    """What a plugin has agreed to: ``commit`` takes the config over, and can't fail."""

    plugin: Plugin[Any]
    config: msgspec.Struct
    commit: Callable[[], None]


async def reload(kernel: Kernel, settings: KernelSettings | None = None, *, preview: bool = False) -> Reloaded:
    """Let a running kernel take a new config over, in two phases: everybody agrees, or nothing changes.

    Without ``settings`` they are read again. Raises `ConfigError` with every objection, and with
    all that would keep a kernel from starting with it. With ``preview`` it ends after the first phase, and returns
    what would change.
    """
    if kernel.changing is None:
        raise KernelError("the kernel is not running; only then is there anything to reload")
    async with kernel.changing:
        fresh = await anyio.to_thread.run_sync(_wired_anew, kernel, settings)
        kernel.secrets |= {*fresh.settings.secrets}
        changes, restart = await _prepare(kernel.wiring, fresh)
        if preview:
            timeouts = kernel.hooks.timeouts != fresh.settings.hook_timeouts
            return Reloaded([*changes, *(["kernel.hook_timeouts"] if timeouts else [])], restart)
        changed = []
        for name, change in changes.items():
            try:
                change.commit()
                change.plugin.config = change.config
                changed.append(name)
            except BaseException as exc:
                log.error("plugin %r agreed to a new config, and then raised", name, exc_info=as_failure(exc))  # noqa: TRY400
        restart = [*restart, *(changes.keys() - changed)]
        if kernel.hooks.timeouts != fresh.settings.hook_timeouts:
            kernel.hooks.timeouts = fresh.settings.hook_timeouts
            changed.append("kernel.hook_timeouts")
        kernel.settings = fresh.settings
    log.info("reloaded; changed: %s; need a restart: %s", changed, restart)
    return Reloaded(changed, restart)


def _wired_anew(kernel: Kernel, settings: KernelSettings | None) -> Wiring:
    """Wire what a restart would wire; in a thread, since it reads files."""
    if settings is None:
        if not isinstance(kernel.settings, Readable):
            raise ConfigError(FROM_CODE)
        settings = kernel.settings.read()
    fresh = kernel.wiring.with_settings(settings)
    fresh.check()
    problems = fresh.problems + [it for it in fresh.warnings if it not in kernel.wiring.warnings]
    if problems:
        raise ConfigError(*problems)
    return fresh


async def _prepare(running: Wiring, fresh: Wiring) -> tuple[Mapping[str, Change], Sequence[str]]:
    """Ask every plugin with a new config to agree; return their changes, and what needs a restart.

    The rest is compared with what runs, whatever earlier reloads said. Raises `ConfigError` with every
    objection.
    """
    # Time limits of hooks are looked up each time, so the kernel takes them over; a host's own settings lack the log's.
    before, after = (
        {key: getattr(it.settings, key) for key in LayeredSettings.keys if hasattr(it.settings, key)}
        for it in (running, fresh)
    )
    common = [key for key in after if key in before and key != "hook_timeouts"]
    restart = [f"kernel.{key}" for key in common if after[key] != before[key]]
    changes: dict[str, Change] = {}
    problems: list[Problem] = []
    for name in sorted({*running.records, *fresh.records}):
        old = running.records.get(name)
        new = fresh.records.get(name)
        if old is None or new is None or _role(old) != _role(new):
            restart.append(name)
            continue
        try:
            if old.plugin is None or new.plugin is None or _is_same(old.plugin, new.plugin):
                continue
            if not _adapts(old):
                restart.append(name)
                continue
            limit = old.plugin.start_timeout or fresh.settings.start_timeout
            with anyio.move_on_after(limit) as scope:
                commit = await old.plugin.prepare(new.plugin.config)
            if scope.cancel_called:  # even where an answer came, too late
                raise overdue("no answer within its time to start", limit)
            # Fail now, since a commit can't.
            if not fits(commit, Callable):
                raise TypeError("`prepare` must return a plain function that takes the config over")
            changes[name] = Change(old.plugin, new.plugin.config, commit)
        except BaseException as exc:  # noqa: BLE001 - whatever it raises, it does not agree
            failure = as_failure(exc)
            problems += (isinstance(failure, ConfigError) and failure.problems) or [
                fresh.settings.placed(Problem(f"plugins.{name}.config", f"{name!r} objects: {failure}"))
            ]
    if problems:
        raise ConfigError(*problems)
    return changes, restart


def _is_same(old: Plugin[Any], new: Plugin[Any]) -> bool:
    """Say whether there is nothing new for a plugin in its config, or in the files that this names."""
    if old.config != new.config:
        return False
    return not isinstance(old, ReadsFiles) or not isinstance(new, ReadsFiles) or old.files() == new.files()


def _role(record: Record) -> tuple[bool, str, bool]:
    """Return what only a restart changes: whether it runs, for whom it makes room, whether it is required."""
    enabled = record.state is not State.DISABLED
    return enabled, record.yields_to, enabled and record.required


def _adapts(record: Record) -> bool:
    """Say whether a plugin can take a new config over where it is."""
    return record.state is State.RUNNING and record.cls.prepare is not Plugin.prepare
