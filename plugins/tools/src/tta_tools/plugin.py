"""The plugins: the tools of a deployment, and the store in memory."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Annotated, Any, ClassVar, cast

import anyio
import msgspec
from msgspec import Meta

from tta_http import Route
from tta_kernel import (
    Context,
    Escaped,
    Event,
    Figure,
    Health,
    Hooks,
    Plugin,
    PluginError,
    PositiveDuration,
    Problem,
    Size,
    hookimpl,
)
from tta_metrics import METRICS
from tta_program import Subcommands
from tta_sessions import SESSIONS
from tta_tool_policy import POLICY
from tta_workflows import WORKFLOWS

from . import hookspecs
from .checking import problems
from .counting import FIGURES, counted, picture
from .declaring import Tool
from .events import ToolApprovalAsked, ToolApprovalDecided, ToolCalled, ToolDeprecated, ToolRegistered
from .isolated import isolation
from .memory import MemoryToolStore
from .model import ToolError
from .routes import tool_routes
from .service import TOOLS, Tools
from .settings import Config
from .store import TOOL_STORE
from .telling import checker
from .tools import StoredTools

_LAST = 1.0
"""Seconds that the store has at the end to take what was counted."""


class ToolsPlugin(Plugin[Config]):
    """Keeps the registry of tools, and calls them under the policy."""

    requires = (TOOL_STORE,)
    after = (METRICS, POLICY, SESSIONS, WORKFLOWS)
    provides = (TOOLS,)
    hookspecs: ClassVar[ModuleType | None] = hookspecs

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._tools: StoredTools | None = None
        # Once: their handlers count who calls how often.
        self._routes = tool_routes(lambda: self._running, config)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        async with isolation(self.config.isolation) as isolated:
            tools = StoredTools(
                ctx.get(TOOL_STORE), self.config, ctx.log, policy=ctx.find(POLICY), sessions=ctx.find(SESSIONS),
                check=checker(ctx), isolated=isolated, publish=ctx.publish,
                node=f"{socket.gethostname()}:{os.getpid()}",
            )  # fmt: skip
            for plugin, tool in _declared(ctx):
                if isinstance(tool, Tool):
                    tools.registry.declare(tool, plugin)
                else:
                    ctx.log.error("plugin %s: its tools can't be used: %s", plugin, tool)
                    tools.registry.refused[plugin] = tool
            await tools.registry.register_declared()
            ctx.start_soon(tools.registry.watch)
            ctx.start_soon(self._report, tools)
            ctx.start_soon(self._clean, ctx, tools)
            if (workflows := ctx.find(WORKFLOWS)) is not None:
                ctx.start_soon(tools.waking(workflows).run)
            with counted(ctx.find(METRICS)):
                self._tools = tools
                ctx.provide(TOOLS, cast(Tools, tools))
                try:
                    yield
                finally:
                    self._tools = None
                    with anyio.move_on_after(_LAST, shield=True):
                        await tools.flush()

    async def _report(self, tools: StoredTools) -> None:
        while True:
            await anyio.sleep(self.config.report_every)
            await tools.registry.register_declared()
            await tools.flush()

    async def _clean(self, ctx: Context, tools: StoredTools) -> None:
        while True:
            try:
                await tools.cleanup()
                await tools.count()
            except ToolError as exc:
                ctx.log.warning("idle tools can't be looked for: %s", exc.detail)
            await anyio.sleep(self.config.cleanup_every)

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        found: dict[str, str] = {}
        wrong = []
        for plugin, tool in _declared(hooks):
            where = f"plugin {plugin!r}"
            if not isinstance(tool, Tool):
                wrong.append(Problem(where, tool, "return a sequence of what `@tool` or `Tool.of` makes"))
                continue
            id = tool.spec.id
            wrong += [Problem(where, f"tool {id!r} {said}", "mend it") for said in problems(tool.spec, self.config)]
            if (other := found.setdefault(id, plugin)) != plugin:
                what = f"declares the tool {id!r}, as {other!r} does"
                wrong.append(Problem(where, what, "give one of them another name, or a version of its own"))
        return wrong

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (ToolCalled, ToolRegistered, ToolDeprecated, ToolApprovalAsked, ToolApprovalDecided)

    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return self._routes

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        from . import commands  # Only a command needs them.

        commands.add(subcommands)

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        return await self._running.forget(user)

    @hookimpl
    async def health(self) -> Health:
        if self._tools is None:
            return Health("failing", "it doesn't run")
        registry = self._tools.registry
        wrong = [f"{what}: {why}" for what, why in sorted(registry.refused.items())]
        if registry.trouble:
            wrong.insert(0, f"the store can't be used: {registry.trouble}")
        if late := self._tools.maker.in_thread.late.total():
            wrong.append(f"{late} threads go on beyond their limit")
        return Health("degraded" if wrong else "ok", "; ".join(wrong)[:1000])

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return FIGURES

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return picture(self._tools) if self._tools is not None else {}

    @property
    def _running(self) -> StoredTools:
        if self._tools is None:
            raise PluginError("tools", "doesn't run")
        return self._tools


def _declared(asking: Context | Hooks) -> Iterator[tuple[str, Tool | str]]:
    """Yield each plugin's tools, or why they can't be used: it is a stranger's answer."""
    for plugin, answer in asking.collect(hookspecs.tools).items():
        if isinstance(answer, Exception):
            # What isn't ours may quote a secret.
            what = str(answer) if isinstance(answer, Escaped) else f"raised {type(answer).__name__}"
            yield plugin, f"its hook `tools` {what}"
        else:
            for tool in answer:
                yield plugin, tool


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
