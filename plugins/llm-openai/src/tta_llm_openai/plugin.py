"""The plugin: models behind endpoints that speak as OpenAI does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tta_kernel import Context, Plugin, Problem, hookimpl
from tta_llm import MODELS

from .config import Config, config_problems


class LlmOpenai(Plugin[Config]):
    """Brings models; nothing is connected to before somebody asks, so that a server may come later."""

    provides = (MODELS,)
    autoload = False

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        from .models import models_of  # aiohttp is slow to import, and `tta check` asks nobody.

        async with models_of(self.config) as models:
            ctx.provide(MODELS, models)
            yield

    @hookimpl
    def check(self) -> Sequence[Problem]:
        return [*config_problems(self.config)]
