"""The plugins: the tools of a deployment, and the store in memory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from tta_kernel import Context, Event, Figure, Plugin, PositiveDuration, Size, hookimpl

from . import hookspecs
from .events import ToolApprovalAsked, ToolApprovalDecided, ToolCalled, ToolDeprecated, ToolRegistered
from .memory import MemoryToolStore
from .settings import Config
from .store import TOOL_STORE


class ToolsPlugin(Plugin[Config]):
    """Keeps the registry of tools, and calls them under the policy."""

    requires = (TOOL_STORE,)
    hookspecs: ClassVar[ModuleType | None] = hookspecs

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (ToolCalled, ToolRegistered, ToolDeprecated, ToolApprovalAsked, ToolApprovalDecided)


class MemoryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many tools there may be, how many bytes of results, and how long, in seconds, figures are kept."""

    most: Annotated[int, Meta(ge=1, le=10**6)] = 10_000
    size: Annotated[Size, Meta(ge=1, le=2**40)] = 64 * 2**20
    keep_figures: PositiveDuration = 30 * 86_400.0


class ToolsMemory(Plugin[MemoryConfig]):
    """Keeps the tools of a deployment with one process; what is registered while it runs ends with it."""

    provides = (TOOL_STORE,)
    fallback = True

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        config = self.config
        self._store = MemoryToolStore(
            time.time, most=config.most, size=config.size, keep_figures=config.keep_figures
        )  # fmt: skip
        ctx.provide(TOOL_STORE, self._store)
        yield

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return (
            Figure("tools.kept", "tools in memory"),
            Figure("tools.results", "results and keys of calls in memory"),
        )

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"tools.kept": len(self._store), "tools.results": self._store.results}
