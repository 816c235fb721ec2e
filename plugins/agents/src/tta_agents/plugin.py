"""What a plugin that is an agent would otherwise write again: declare it, serve it, take over a new config."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from tta_kernel import Context, Plugin, hookimpl
from tta_kernel.plugin import ConfigT

from .model import AGENTS, AgentSpec, StepContext


class AgentPlugin(Plugin[ConfigT]):
    """A plugin that is one agent: a subclass has a ``spec`` and `process`.

    It is declared, and served for as long as it runs; a new config counts from the next request on. What
    the agent needs a subclass opens in a `lifespan` of its own, within which it enters this one.
    """

    requires = (AGENTS,)
    spec: AgentSpec

    @hookimpl
    def agents(self) -> Sequence[AgentSpec]:
        return (self.spec,)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        async with ctx.get(AGENTS).serve(self):
            yield

    async def prepare(self, config: ConfigT) -> Callable[[], None]:
        return partial(setattr, self, "config", config)

    async def process(self, request: Any, ctx: StepContext, /) -> Any:
        """Answer one request: an ``input`` of the spec in, an ``output`` out; nothing is kept between two."""
        raise NotImplementedError(f"{type(self).__name__} has no method process")
