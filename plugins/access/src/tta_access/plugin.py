"""The plugins: who asks, and the keys in a file or in memory."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import anyio
import msgspec

from tta_kernel import (
    ConfigPath,
    Context,
    Event,
    Figure,
    Health,
    NoConfig,
    Plugin,
    PluginError,
    Problem,
    hookimpl,
)  # fmt: skip
from tta_program import Subcommands
from tta_program.state import StateError, check_private, state_folder

from .authenticator import Authenticator
from .config import Config
from .files import FileKeys
from .memory import MemoryKeys
from .model import ACCESS, KEYS, AccessDenied, AccessError, Denied
from .roles import roles_of

_WRITING = 60.0
"""Seconds between two writings of when keys were used last: it is for people to look at."""
_LAST_WRITING = 1.0


class AccessPlugin(Plugin[Config]):
    """Says who asks and what they may do, and has the commands for keys."""

    requires = (KEYS,)
    provides = (ACCESS,)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._authenticator: Authenticator | None = None

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        authenticator = Authenticator(self.config, ctx.get(KEYS), publish=ctx.publish)
        if key := os.environ.get("TTA_KEY"):
            await self._become(authenticator, key)
        self._authenticator = authenticator
        ctx.provide(ACCESS, authenticator)
        ctx.start_soon(self._keep_uses, ctx, authenticator)
        try:
            yield
        finally:
            with anyio.move_on_after(_LAST_WRITING, shield=True):
                await self._write_uses(ctx, authenticator)

    async def prepare(self, config: Config) -> Callable[[], None]:
        def commit() -> None:
            self.config = config
            if self._authenticator is not None:
                self._authenticator.configure(config)

        return commit

    @hookimpl
    async def health(self) -> Health:
        trouble = self._authenticator.trouble() if self._authenticator else ""
        return Health("degraded" if trouble else "ok", trouble)

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (AccessDenied,)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return (Figure("access.denied", "credentials that proved nothing", "counter"),)

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"access.denied": self._authenticator.denied} if self._authenticator else {}

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        from . import commands  # Only a command needs them.

        commands.add(subcommands, roles_of(self.config.roles))

    async def _become(self, authenticator: Authenticator, key: str) -> None:
        try:
            await authenticator.become(key)
        except Denied as exc:
            raise PluginError(
                "access", f"the key in TTA_KEY opens nothing ({exc.reason})", hint="unset it, or put another one there"
            ) from None

    async def _keep_uses(self, ctx: Context, authenticator: Authenticator) -> None:
        while True:
            await anyio.sleep(_WRITING)
            await self._write_uses(ctx, authenticator)

    async def _write_uses(self, ctx: Context, authenticator: Authenticator) -> None:
        try:
            await authenticator.write_uses()
        except AccessError as exc:
            ctx.log.warning("when keys were used last isn't written: %s", exc)


class FileConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``file``: where the keys are; ``keys.json`` in the folder of the system's state by default."""

    file: ConfigPath | None = None


class AccessFile(Plugin[FileConfig]):
    """Keys of all processes of one machine."""

    provides = (KEYS,)
    fallback = True

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._keys = FileKeys(self._file)
        self._keys.read()
        ctx.provide(KEYS, self._keys)
        yield

    @property
    def _file(self) -> Path:
        return self.config.file or state_folder() / "keys.json"

    @hookimpl
    def check(self) -> Sequence[Problem]:
        try:
            check_private(self._file)
        except StateError as exc:
            return [Problem("plugin 'access-file'", str(exc), deployment_only=True)]
        return ()

    @hookimpl
    async def health(self) -> Health:
        return Health("degraded" if self._keys.trouble else "ok", self._keys.trouble)


class AccessMemory(Plugin[NoConfig]):
    """Keys that end with the process: for tests."""

    provides = (KEYS,)
    autoload: ClassVar[bool] = False

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.provide(KEYS, MemoryKeys())
        yield
