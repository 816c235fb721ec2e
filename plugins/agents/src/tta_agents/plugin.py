"""What a plugin that is an agent would otherwise write again: declare it, serve it, take over a new config."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from tta_kernel import ConfigError, Context, Plugin, Problem, hookimpl
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
        if flaws := [*self._flaws()]:
            where = f"{type(self).__module__}.{type(self).__qualname__}"
            raise ConfigError(*(Problem(where, what, hint) for what, hint in flaws))
        return (self.spec,)

    def _flaws(self) -> Iterator[tuple[str, str]]:
        """Find what is missing of an agent, or isn't of the form in which it is called; each with the way out."""
        spec = getattr(self, "spec", None)
        if not isinstance(spec, AgentSpec):
            found = "none" if spec is None else f"a {type(spec).__name__}"
            yield f"an agent needs a `spec`, and this has {found}", "write `spec = AgentSpec(…)` in the class"
        hint = "write `async def process(self, request, ctx)`"
        if type(self).process is AgentPlugin.process:
            yield "an agent needs a method `process`, and this has none", hint
        elif not inspect.iscoroutinefunction(inspect.unwrap(self.process)):
            yield "its `process` is no `async def`", hint
        else:
            try:
                inspect.signature(self.process).bind("request", "ctx")
            except TypeError as exc:
                yield f"its `process` can't be called with a request and a context: {exc}", hint

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        async with ctx.get(AGENTS).serve(self):
            yield

    async def prepare(self, config: ConfigT) -> Callable[[], None]:
        return partial(setattr, self, "config", config)

    async def process(self, request: Any, ctx: StepContext, /) -> Any:
        """Answer one request: an ``input`` of the spec in, an ``output`` out; nothing is kept between two."""
        raise NotImplementedError(f"{type(self).__name__} has no method process")
