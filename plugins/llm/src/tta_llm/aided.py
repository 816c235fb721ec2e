"""What an agent that works by rules, and may ask a model, would otherwise write again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct, structs

from tta_agents import AgentPlugin, StepContext
from tta_kernel import Context, PositiveDuration

from .model import ChatRequest
from .service import LLM, LanguageModel
from .standby import is_ready

_FOR_RULES = 0.1
"""Which part of an agent's time is left to its rules, once a model has come to nothing."""


class AidedConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether a model is asked where there is one, which, and how long one request may take in all."""

    ask: bool = True
    model: Annotated[str, Meta(max_length=200)] = ""
    """An alias of `llm`'s config, or ``endpoint/model``; its default where this is empty."""
    timeout: PositiveDuration


C = TypeVar("C", bound=AidedConfig)


class AidedAgent(AgentPlugin[C]):
    """A plugin that is one agent, and may ask a model; its ``timeout`` is its agent's time limit."""

    after = (LLM,)

    def __init__(self, config: C) -> None:
        super().__init__(config)
        self.spec = structs.replace(self.spec, timeout=config.timeout)
        self._llm: LanguageModel | None = None

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._llm = ctx.find(LLM)
        async with super().lifespan(ctx):
            yield

    async def prepare(self, config: C) -> Callable[[], None]:
        take_over = await super().prepare(config)

        def commit() -> None:
            take_over()
            self.spec = structs.replace(self.spec, timeout=config.timeout)

        return commit

    @property
    def llm(self) -> LanguageModel | None:
        """The models to ask now; None where there are none, or none is to be asked."""
        return self._llm if self.config.ask and is_ready(self._llm) else None

    def asking(self, ctx: StepContext, **more: Any) -> ChatRequest:
        """Return what every request to a model has in common; the messages are still to come."""
        return ChatRequest(
            messages=(), model=self.config.model, key=f"{ctx.key}:{ctx.attempt}", session=ctx.session,
            owner=ctx.owner, agent=self.spec.type, **more,
        )  # fmt: skip

    def time_left(self, began: float) -> float:
        """Return how many seconds a model may still take of a request that began then, by `time.monotonic`."""
        return max(0.0, (1 - _FOR_RULES) * self.config.timeout - (time.monotonic() - began))


def is_late(due: float) -> bool:
    """Say whether what was due then, in seconds since the epoch, is overdue; 0 means that there is no haste."""
    return 0 < due <= time.time()
