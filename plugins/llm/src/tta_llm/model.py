"""What is asked of a language model, and what it answers; no repr of it holds a person's text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

S = TypeVar("S")
Role = Literal["system", "user", "assistant", "tool"]
Finish = Literal["stop", "length", "tool", "filtered"]
"""Why an answer ends: it was complete, it was too long, it wants tools called, or the server kept the rest back."""
Schema = Mapping[str, Any]
"""A JSON Schema, draft 2020-12."""


class ToolCall(Struct, frozen=True):
    """A call that a model wants made; ``arguments`` is JSON as the model wrote it, right or wrong."""

    id: str
    name: str
    arguments: str = "{}"

    def __repr__(self) -> str:
        return f"ToolCall(name={self.name!r}, {len(self.arguments)} characters)"


class Message(Struct, frozen=True):
    """One message of a conversation; ``answers`` is the id of the call that a message of a tool is the result of."""

    role: Role
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    answers: str = ""

    def __repr__(self) -> str:
        return f"Message(role={self.role!r}, {len(self.text)} characters, {len(self.tool_calls)} tool calls)"


class ChatRequest(Struct, frozen=True, kw_only=True):
    """One question to a model.

    ``model`` is an alias of the config, or ``endpoint/model``; the config's default where it is empty. ``max_tokens``
    bounds the answer; where it is None, the model's setting does.

    ``schema`` makes the answer JSON of that shape: a JSON Schema, or a Struct type, of which `ChatReply.output` is then
    an instance. ``tools`` are names of tools that the model may have called, under the policy.

    ``key`` is idempotency: budgets aren't charged twice for one, nor is a tool called twice. ``session`` and ``owner``
    are for budgets, fairness and tools, and ``agent`` for the policy; none of them is ever sent to a server.
    ``budgets`` names budgets that count for this request beyond those that always do.
    """

    messages: Sequence[Message]
    model: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    schema: Schema | type[Struct] | None = None
    tools: tuple[str, ...] = ()
    key: str = ""
    session: str = ""
    owner: str = ""
    agent: str = ""
    budgets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"ChatRequest(model={self.model!r}, {len(self.messages)} messages)"


class Usage(Struct, frozen=True):
    """Tokens of a call, or of several together; ``estimated`` where a server didn't say, and we counted characters."""

    prompt: int = 0
    completion: int = 0
    estimated: bool = False

    @property
    def total(self) -> int:
        """Both together."""
        return self.prompt + self.completion

    def plus(self, other: Usage) -> Usage:
        """Return both together."""
        return Usage(
            self.prompt + other.prompt, self.completion + other.completion, self.estimated or other.estimated
        )  # fmt: skip


class Piece(Struct, frozen=True):
    """A piece of an answer while it is written; the pieces joined are the reply's text."""

    text: str

    def __repr__(self) -> str:
        return f"Piece({len(self.text)} characters)"


class ChatReply(Struct, frozen=True, kw_only=True):
    """A whole answer.

    ``output`` is what was asked for by ``schema``, validated. ``model`` is ``endpoint/model``, whichever of a chain
    answered. ``repaired``: the first answer wasn't of the right shape, and the model was told. ``attempts`` counts the
    requests that were made, ``cost`` is in millionths of the deployment's unit of money, and ``usage`` is of all that
    belongs to this answer: rounds of tools and the repair.
    """

    text: str
    model: str
    finish: Finish = "stop"
    output: Any = None
    usage: Usage = Usage()
    cost: int = 0
    repaired: bool = False
    attempts: int = 1

    def __repr__(self) -> str:
        return f"ChatReply(model={self.model!r}, finish={self.finish!r}, {len(self.text)} characters)"

    def decode(self, type_: type[S]) -> S:
        """Return the output as a Struct, or whatever else it is."""
        return msgspec.convert(self.output, type_)


def estimated_tokens(messages: Sequence[Message]) -> int:
    """Estimate what messages come to: a token for each four characters, and four for each message.

    It is within a third for English prose and the usual vocabularies; what a server counts replaces it afterwards.
    """
    characters = 0
    for message in messages:
        calls = sum(len(call.name) + len(call.arguments) for call in message.tool_calls)
        characters += len(message.text) + calls
    return tokens_of(characters) + 4 * len(messages)


def tokens_of(characters: int) -> int:
    """Estimate what so many characters come to, rounded up."""
    return (characters + 3) // 4
