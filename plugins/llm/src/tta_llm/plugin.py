"""The plugins: language models for whoever asks, budgets in memory, and vectors of texts."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tta_breakers import BREAKERS
from tta_capabilities import EMBEDDER
from tta_kernel import (
    Context,
    Event,
    Figure,
    Health,
    Plugin,
    PluginError,
    PositiveDuration,
    Problem,
    hookimpl,
)  # fmt: skip
from tta_metrics import METRICS
from tta_program import Subcommands
from tta_tools import TOOLS

from .asking import vectors
from .budgets import BUDGETS
from .checking import config_problems
from .counting import counted
from .events import LlmCalled
from .llm import ChainedModels
from .memory import MemoryBudgets
from .models import MODELS
from .service import LLM
from .settings import Config


class LlmPlugin(Plugin[Config]):
    """Asks language models, where a backend has some; without one it says so, and rules must do."""

    requires = (BUDGETS,)
    after = (BREAKERS, METRICS, MODELS, TOOLS)
    provides = (LLM,)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._llm: ChainedModels | None = None

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        llm = ChainedModels(
            ctx.find(MODELS), ctx.get(BUDGETS), self.config, ctx.log, clock=time.time, tools=ctx.find(TOOLS),
            breakers=ctx.find(BREAKERS), publish=ctx.publish,
        )  # fmt: skip
        with counted(ctx.find(METRICS)):
            self._llm = llm
            ctx.provide(LLM, llm)
            try:
                yield
            finally:
                self._llm = None

    @hookimpl
    def check(self) -> Sequence[Problem]:
        return [*config_problems(self.config)]

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (LlmCalled,)

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        from . import commands  # Only a command needs them.

        commands.add(subcommands)

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        if self._llm is None:
            raise PluginError("llm", "doesn't run")
        return await self._llm.forget(user)

    @hookimpl
    async def health(self) -> Health:
        if self._llm is None:
            return Health("failing", "it doesn't run")
        if not self._llm.ready:
            return Health("ok", "no plugin provides models, so rules must do")
        unsettled = self._llm.charging.unsettled
        return Health("degraded", f"{unsettled} charges stay as they were reserved") if unsettled else Health()

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return (Figure("llm.unsettled", "charges that stay as they were reserved", "counter"),)

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"llm.unsettled": self._llm.charging.unsettled} if self._llm is not None else {}


class MemoryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many accounts, and how many keys, there may be."""

    most: Annotated[int, Meta(ge=1, le=10**7)] = 100_000


class LlmMemory(Plugin[MemoryConfig]):
    """Keeps what was spent in a deployment with one process; it ends with that."""

    provides = (BUDGETS,)
    fallback = True

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._budgets = MemoryBudgets(time.time, most=self.config.most)
        ctx.provide(BUDGETS, self._budgets)
        yield

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return (Figure("llm.accounts", "accounts of budgets in memory"),)

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"llm.accounts": self._budgets.accounts}


class EmbedderConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which ``endpoint/model`` gives vectors, for how many texts at once, and how long that may take."""

    model: Annotated[str, Meta(max_length=200)] = ""
    batch: Annotated[int, Meta(ge=1, le=2048)] = 64
    limit: PositiveDuration = 30.0


class LlmEmbedder(Plugin[EmbedderConfig]):
    """Knows what words mean, by a model that turns texts into vectors."""

    requires = (MODELS,)
    provides = (EMBEDDER,)
    autoload = False

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._models = ctx.get(MODELS)
        ctx.provide(EMBEDDER, self)
        yield

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return one vector per text; raises `LlmError`."""
        config, found = self.config, list[Sequence[float]]()
        for begin in range(0, len(texts), config.batch):
            found += await vectors(self._models, config.model, texts[begin : begin + config.batch], config.limit)
        return found

    @hookimpl
    def check(self) -> Sequence[Problem]:
        if "/" in self.config.model:
            return ()
        return [Problem("plugins.llm-embedder.config.model", "names no model", "write `endpoint/model`")]
