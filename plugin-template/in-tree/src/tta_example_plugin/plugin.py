"""The plugin: say here in one sentence what it brings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from tta_kernel import Context, Plugin


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be set under ``plugins: {example-plugin: {config: ...}}``; a misspelt key is an error."""


class ExamplePlugin(Plugin[Config]):
    """Say here what it does for as long as it runs."""

    requires = ()
    provides = ()

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """Start before the ``yield``, stop after it."""
        yield
