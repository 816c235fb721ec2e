"""The service: who is asked, whether a request is one, and the streams of its answers."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager

import anyio
import msgspec

from tta_breakers import Breakers
from tta_kernel import Event
from tta_tools import Tools

from .asking import model_names
from .budgets import Budgets, Spent, guard_budgets
from .chain import Chain
from .charging import Charging
from .conversation import Conversation
from .errors import LlmError
from .model import ChatReply, ChatRequest, Message, Piece, estimated_tokens
from .models import Models
from .service import ChatStream, ModelState
from .settings import Config

_MOST_STOPS = 4
"""Servers take no more."""
_ASK_AGAIN = 300.0
"""For how many seconds the one model of a deployment is taken to be the one that it has."""


class _Stream:
    """Reads the pieces of a conversation."""

    def __init__(self, conversation: Conversation, pieces: AsyncIterator[Piece]) -> None:
        self._conversation, self._pieces = conversation, pieces

    @property
    def reply(self) -> ChatReply:
        reply = self._conversation.reply
        if reply is None:
            raise RuntimeError("an answer has a reply once its pieces have been read to the end")
        return reply

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self._pieces


class ChainedModels:
    """Answers requests through chains of a backend's models; None of those says that there is none."""

    def __init__(
        self, models: Models | None, budgets: Budgets, config: Config, log: logging.Logger, *,
        clock: Callable[[], float], tools: Tools | None = None, breakers: Breakers | None = None,
        publish: Callable[[Event], None] = lambda event: None,
    ) -> None:  # fmt: skip
        self._models, self._config, self._tools, self._breakers = models, config, tools, breakers
        self.durable = bool(getattr(budgets, "durable", False))
        self.charging = Charging(guard_budgets(budgets, limit=config.store_limit), config, log, clock)
        self._chain = (
            None
            if models is None
            else Chain(models, config, self.charging, breakers=breakers, publish=publish)
        )  # fmt: skip
        self._only, self._only_until = "", 0.0

    @property
    def ready(self) -> bool:
        return self._models is not None

    async def chat(self, request: ChatRequest) -> ChatReply:
        conversation = await self._conversation(request, streams=False)
        async with aclosing(conversation.pieces()) as pieces:
            async for _ in pieces:
                pass
        assert conversation.reply is not None
        return conversation.reply

    @asynccontextmanager
    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatStream]:
        conversation = await self._conversation(request, streams=True)
        async with aclosing(conversation.pieces()) as pieces:
            yield _Stream(conversation, pieces)

    def estimate(self, messages: Sequence[Message]) -> int:
        return estimated_tokens(messages)

    async def models(self) -> Sequence[ModelState]:
        aliases: dict[str, list[str]] = {}
        for alias, chain in self._config.aliases.items():
            for name in chain:
                aliases.setdefault(name, []).append(alias)
        listed = await model_names(self._models, self._config.limits.first) if self._models is not None else ()
        names = {*aliases, *listed, *(name for name in self._config.models if not name.endswith("/*"))}
        return [self._state(name, aliases.get(name, ())) for name in sorted(names)]

    async def spent(self, *, session: str = "", owner: str = "") -> Sequence[Spent]:
        return await self.charging.spent(session, owner)

    async def forget(self, owner: str) -> int:
        """Erase what was counted of a person; raises `BudgetsError`."""
        return await self.charging.forget(owner)

    async def chain_of(self, model: str) -> Sequence[str]:
        """Return whom a name stands for: an alias, a model, or the default where it is empty."""
        wanted = model or self._config.model
        if wanted in self._config.aliases:
            return self._config.aliases[wanted]
        if "/" in wanted and len(wanted) <= 200 and wanted.isprintable():
            return (wanted,)
        if wanted:
            known = ", ".join(sorted(self._config.aliases)[:10]) or "none"
            raise LlmError(
                "invalid_request", f"no model is called {wanted[:64]!r}: name `endpoint/model`, or an alias "
                f"({known})", reached=False,
            )  # fmt: skip
        return (await self._only_one(),)

    async def _only_one(self) -> str:
        """Return the model of a deployment that has but one."""
        assert self._models is not None
        if anyio.current_time() >= self._only_until:
            names = await model_names(self._models, self._config.limits.first)
            if len(names) != 1:
                raise LlmError(
                    "invalid_request" if names else "unavailable",
                    f"there are {len(names)} models: say which is meant, as plugins.llm.config.model", reached=False,
                )  # fmt: skip
            self._only, self._only_until = names[0], anyio.current_time() + _ASK_AGAIN
        return self._only

    async def _conversation(self, request: ChatRequest, *, streams: bool) -> Conversation:
        if self._models is None or self._chain is None:
            raise LlmError("unavailable", "no plugin provides models: enable `llm-openai`", retryable=False)
        check_request(request, self._config)
        until = min(anyio.current_time() + self._config.limits.total, anyio.current_effective_deadline())
        models = await self.chain_of(request.model)
        return Conversation(
            self._chain, self._config, request, models, until=until, tools=self._tools, streams=streams
        )  # fmt: skip

    def _state(self, name: str, aliases: Sequence[str]) -> ModelState:
        breaker = self._breakers.local().get(f"llm:{name}") if self._breakers is not None else None
        gate = self._chain.gate(name) if self._chain is not None else None
        return ModelState(
            name=name, aliases=tuple(aliases), status=breaker.record.status if breaker is not None else "closed",
            running=gate.running if gate is not None else 0, waiting=gate.waiting if gate is not None else 0,
        )  # fmt: skip


def check_request(request: ChatRequest, config: Config) -> None:
    """Raise `LlmError` for what is no request; whatever was said in it isn't quoted."""
    wrong = ""
    if not request.messages:
        wrong = "it has no messages"
    elif request.max_tokens is not None and not 1 <= request.max_tokens <= 1_000_000_000:
        wrong = "max_tokens is a whole number from 1 on"
    elif request.temperature is not None and not (0 <= request.temperature <= 2):
        wrong = "temperature is a number from 0 to 2"
    elif request.seed is not None and not -(2**63) <= request.seed < 2**63:
        wrong = "seed has at most 64 bits"
    elif len(request.stop) > _MOST_STOPS or not all(request.stop):
        wrong = f"stop holds at most {_MOST_STOPS} texts, none of them empty"
    if wrong:
        raise LlmError("invalid_request", wrong, reached=False)
    try:
        size = len(msgspec.json.encode((request.messages, request.stop)))
    except (TypeError, ValueError, RecursionError) as exc:
        raise LlmError("invalid_request", "its messages can't be written as JSON", reached=False) from exc
    if size > config.most_request:
        raise LlmError(
            "too_large", f"it has {size} bytes, and {config.most_request} are the most", reached=False
        )  # fmt: skip
