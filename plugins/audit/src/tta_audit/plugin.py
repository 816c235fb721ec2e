"""The plugins: what is recorded of itself, and the record in files or in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec

from tta_access import ACCESS, Access, AccessDenied, asked
from tta_http import UNAVAILABLE, Route
from tta_kernel import (
    ConfigPath,
    Context,
    Figure,
    Health,
    NoConfig,
    Plugin,
    PluginError,
    PositiveDuration,
    Problem,
    Size,
    hookimpl,
)
from tta_program import CommandRan, Subcommands
from tta_program.state import StateError, make_private, state_folder
from tta_safety import CheckedTurn

from .files import FileAudit, Limits, Sync
from .memory import MemoryAudit
from .model import AUDIT, Audit, AuditError, Entry
from .showing import Showing
from .turns import entry_of

_LIMIT = 4.0
"""Seconds that recording may take: less than the hooks have that ask for it."""


class AuditPlugin(Plugin[NoConfig]):
    """Records commands that change something and credentials that prove nothing, and shows what is recorded."""

    requires = (ACCESS, AUDIT)

    def __init__(self, config: NoConfig) -> None:
        super().__init__(config)
        self._audit: Audit | None = None
        self._access: Access | None = None

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._audit = ctx.get(AUDIT)
        self._access = ctx.get(ACCESS)
        ctx.on(AccessDenied, self._denied)
        yield

    @hookimpl(optionalhook=True)
    async def command_ran(self, ran: CommandRan) -> None:
        if self._audit is None or self._access is None:
            raise PluginError("audit", "doesn't run, and so records nothing")
        who = self._access.local()
        entry = Entry(
            what=f"command.{ran.name.replace(' ', '.')}",
            who=who.name,
            kind=who.kind,
            outcome="done" if ran.outcome == "done" else "failed",
            target=ran.target,
            code="" if ran.outcome == "done" else ran.outcome,
        )
        await asked(AuditError, _LIMIT, None, self._audit.record, entry)

    @hookimpl(optionalhook=True)
    async def turn_checked(self, turn: CheckedTurn) -> None:
        if self._audit is None:
            raise PluginError("audit", "doesn't run, and so records nothing")
        await asked(AuditError, _LIMIT, None, self._audit.record, entry_of(turn))

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        if self._audit is None:
            raise PluginError("audit", "doesn't run, and so can't forget anybody")
        return await asked(AuditError, _LIMIT, int, self._audit.forget, user)

    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return Showing(self._running).routes()

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        from . import commands  # Only a command needs them.

        commands.add(subcommands)

    def _running(self) -> Audit:
        if self._audit is None:
            raise UNAVAILABLE("the plugin audit doesn't run")
        return self._audit

    async def _denied(self, event: AccessDenied) -> None:
        assert self._audit is not None
        entry = Entry(
            what="access.denied",
            who="anonymous",
            kind="anonymous",
            outcome="refused",
            target=event.key,
            code=event.reason,
            address=event.peer,
            correlation_id=event.correlation_id,
        )
        await asked(AuditError, _LIMIT, None, self._audit.record, entry)


class FileConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``folder``: where the records are; ``audit`` in the folder of the system's state by default.

    ``sync``: whether an entry must be on the disk before its caller goes on, or only with the operating system. A file
    has up to ``file_size``; of all of them ``total_size`` is kept, and what is younger than ``keep``.
    """

    folder: ConfigPath | None = None
    sync: Sync = "always"
    file_size: Annotated[Size, msgspec.Meta(ge=10_000, le=10**12)] = 10_000_000
    total_size: Annotated[Size, msgspec.Meta(ge=20_000, le=10**15)] = 1_000_000_000
    keep: PositiveDuration = 365 * 86_400.0


class AuditFile(Plugin[FileConfig]):
    """Records of this machine, in files of each process's own."""

    provides = (AUDIT,)
    fallback = True

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        config = self.config
        limits = Limits(config.file_size, config.total_size, config.keep)
        self._audit = FileAudit(self._folder, limits, sync=config.sync)
        ctx.provide(AUDIT, self._audit)
        try:
            yield
        finally:
            self._audit.close()

    @property
    def _folder(self) -> Path:
        return self.config.folder or state_folder() / "audit"

    @hookimpl
    def check(self) -> Sequence[Problem]:
        # Before anything is done that could then not be recorded; nothing is made here.
        try:
            if self._folder.exists():
                make_private(self._folder)
        except StateError as exc:
            return [Problem("plugin 'audit-file'", str(exc), deployment_only=True)]
        return ()

    @hookimpl
    async def health(self) -> Health:
        return Health("failing" if self._audit.trouble else "ok", self._audit.trouble)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return (Figure("audit.recorded", "entries that this process has recorded", "counter"),)

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"audit.recorded": self._audit.recorded}


class MemoryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``limit``: how many records are kept."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10_000


class AuditMemory(Plugin[MemoryConfig]):
    """Records that end with the process: for tests."""

    provides = (AUDIT,)
    autoload: ClassVar[bool] = False

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.provide(AUDIT, MemoryAudit(self.config.limit))
        yield
