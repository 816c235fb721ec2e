"""What can be done with language models, for whoever asks one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from tta_kernel import Service

from .budgets import Spent
from .model import ChatReply, ChatRequest, Message, Piece


class ModelState(Struct, frozen=True, kw_only=True):
    """A model, for operators: ``status`` is its breaker's, ``running`` and ``waiting`` are this process's requests."""

    name: str
    aliases: tuple[str, ...] = ()
    status: str = "closed"
    running: int = 0
    waiting: int = 0


class ChatStream(Protocol):
    """An answer while it is written: iterate over its pieces, then read ``reply``."""

    @property
    def reply(self) -> ChatReply:
        """The whole answer; RuntimeError until the pieces have been read to the end."""

    def __aiter__(self) -> AsyncIterator[Piece]: ...


class LanguageModel(Protocol):
    """The language models of a deployment. Whatever comes to nothing is an `LlmError`."""

    @property
    def ready(self) -> bool:
        """Whether there is any model to ask: without a backend there is none, and rules must do."""

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Ask, and return the whole answer; the enclosing cancel scope is a deadline beside the config's."""

    def stream(self, request: ChatRequest) -> AbstractAsyncContextManager[ChatStream]:
        """Ask, and read the answer piece by piece: ``async with llm.stream(request) as pieces``.

        No more is read from the server than its reader takes, but for what the network buffers; whoever leaves the
        block closes the connection. Until the first piece a request may be made again, or of another model; after it
        never: then what breaks is an `LlmError`. An answer with a ``schema`` comes as one piece, once it is valid.
        """

    def estimate(self, messages: Sequence[Message]) -> int:
        """Estimate how many tokens messages have; see `estimated_tokens`."""

    async def models(self) -> Sequence[ModelState]:
        """Return the models that are known: of the config, and of endpoints that answer."""

    async def spent(self, *, session: str = "", owner: str = "") -> Sequence[Spent]:
        """Return what has been spent of each budget; of those for sessions and users, of this one's."""


LLM = Service[LanguageModel]("llm")
