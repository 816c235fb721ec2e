"""What a backend gives: models by name, which stream their answers; and how one of a stranger's is listened to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from tta_kernel import Service

from .model import Finish, Message, Schema, ToolCall, Usage

LONGEST_NAME = 200
"""Characters of ``endpoint/model``."""


class ModelInfo(Struct, frozen=True):
    """A model that an endpoint has; ``name`` is ``endpoint/model``."""

    name: str


class ToolOffer(Struct, frozen=True):
    """A tool as a model is told of it; its name has letters, digits, hyphens and underscores only."""

    name: str
    description: str
    parameters: Schema


class ModelCall(Struct, frozen=True, kw_only=True):
    """One request to one model, with nothing in it that a server needn't know: no owner, no session, no key.

    ``connect`` is how long, in seconds, reaching the server may take. ``most`` is how many characters the answer may
    have. ``schema`` is only asked for: whoever calls validates.
    """

    model: str
    messages: Sequence[Message]
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    tools: tuple[ToolOffer, ...] = ()
    connect: float = 5.0
    most: int = 200_000

    def __repr__(self) -> str:
        return f"ModelCall(model={self.model!r}, {len(self.messages)} messages)"


class Delta(Struct, frozen=True):
    """What comes next of an answer: text, calls (whole ones), and at its end why it ends and what it came to."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: Finish | None = None
    usage: Usage | None = None

    def __repr__(self) -> str:
        return f"Delta({len(self.text)} characters, finish={self.finish!r})"


class Embedded(Struct, frozen=True):
    """One vector for each text, all of one length."""

    vectors: Sequence[Sequence[float]]
    usage: Usage = Usage()


class Models(Protocol):
    """The models of a deployment, named ``endpoint/model``. Whatever comes to nothing is an `LlmError`."""

    async def list(self) -> Sequence[ModelInfo]:
        """Return the models that the endpoints say they have, as far as those can be reached."""

    def stream(self, call: ModelCall) -> AsyncGenerator[Delta, None]:
        """Ask a model, and yield its answer as it comes; the last `Delta` has ``finish``.

        Whoever listens sees to the time, and closes the generator: by then the connection is given back, or closed
        where the answer wasn't read to its end.
        """

    async def embed(self, model: str, texts: Sequence[str]) -> Embedded:
        """Return what texts mean, as vectors."""


MODELS = Service[Models]("models")


def is_delta(value: object) -> bool:
    """Say whether a stranger's Delta is right within: nothing checks a Struct when it is built."""
    if not isinstance(value, Delta):
        return False
    try:
        msgspec.convert(msgspec.to_builtins(value), Delta)
    except (msgspec.ValidationError, TypeError, ValueError, OverflowError, RecursionError):
        return False
    return value.usage is None or min(value.usage.prompt, value.usage.completion) >= 0
