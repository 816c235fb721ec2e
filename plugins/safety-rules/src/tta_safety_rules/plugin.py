"""The plugin: rules that are loaded, kept, and asked of every text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from tta_kernel import Context, Plugin


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be set under ``plugins: {safety-rules: {config: ...}}``."""


class SafetyRules(Plugin[Config]):
    """Checks text; for now it only holds the place."""

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        yield
