"""What a server says, chunk by chunk, as `Delta`: text at once, calls and the reason for the end when that has come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tta_llm import Delta, Finish, LlmError, ToolCall, Usage

from .failures import failure_in

_FINISHES: dict[str, Finish] = {
    "stop": "stop", "length": "length", "tool_calls": "tool", "function_call": "tool", "content_filter": "filtered",
}  # fmt: skip
_MOST_CALLS = 64
_MOST_ID = 256


class Function(Struct):
    """A part of a call: its name comes first, and its arguments in pieces."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class Call(Struct):
    """A part of a call that a model wants made."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Said(Struct):
    """What a chunk adds, or what a whole answer says."""

    content: str | None = None
    tool_calls: list[Call] | None = None
    refusal: str | None = None


class Choice(Struct):
    """The one answer that was asked for."""

    delta: Said | None = None
    message: Said | None = None
    finish_reason: str | None = None


class Counted(Struct):
    """Tokens."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Chunk(Struct):
    """A chunk of a stream, or a whole answer of a server that doesn't stream."""

    choices: list[Choice] | None = None
    usage: Counted | None = None
    error: Any = UNSET


class Answer:
    """Gathers what isn't told at once."""

    def __init__(self) -> None:
        self.finish: Finish | None = None
        self._usage: Usage | None = None
        self._calls: dict[int, tuple[str, str, list[str]]] = {}
        self._refused = False

    def take(self, data: str | bytes) -> Iterator[Delta]:
        """Read a chunk, and yield the text in it; raises `LlmError` for one that is wrong, or says what went wrong."""
        try:
            chunk = msgspec.json.decode(data, type=Chunk)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise LlmError("broken_stream", "the server sends what is no chunk of an answer") from None
        if not isinstance(chunk.error, UnsetType) and chunk.error is not None:
            raise failure_in(chunk.error)
        if chunk.usage is not None:
            self._usage = Usage(max(0, chunk.usage.prompt_tokens or 0), max(0, chunk.usage.completion_tokens or 0))
        for choice in (chunk.choices or ())[:1]:
            said = choice.delta or choice.message
            if said is not None:
                self._refused |= bool(said.refusal)
                for call in said.tool_calls or ():
                    self._add(call)
                if said.content:
                    yield Delta(said.content)
            if choice.finish_reason is not None:
                self.finish = _FINISHES.get(choice.finish_reason, "stop")

    def end(self) -> Delta:
        """Return what was gathered, and how it ended."""
        calls = tuple(ToolCall(id, name, "".join(parts) or "{}") for id, name, parts in self._calls.values())
        finish: Finish = self.finish or "stop"
        if self._refused:
            finish = "filtered"
        elif calls and finish == "stop":
            # Some servers say so although they want a tool called.
            finish = "tool"
        return Delta(tool_calls=calls, finish=finish, usage=self._usage)

    def _add(self, part: Call) -> None:
        place = part.index if part.index is not None else len(self._calls)
        if place not in self._calls and len(self._calls) >= _MOST_CALLS:
            raise LlmError("too_large", f"the model wants more than {_MOST_CALLS} tools called at once")
        id, name, parts = self._calls.get(place, ("", "", []))
        function = part.function or Function()
        if isinstance(function.arguments, dict):
            parts.append(msgspec.json.encode(function.arguments).decode())
        elif function.arguments:
            parts.append(function.arguments)
        self._calls[place] = ((part.id or id)[:_MOST_ID] or f"call-{place}", function.name or name, parts)
