"""What a server says, chunk by chunk, as `Delta`: text at once, calls and the reason for the end when that has come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tta_llm import Delta, Finish, LlmError, ToolCall, Usage

from .failures import failure_in
from .thinking import Thinking

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


class Part(Struct):
    """A part of what is said, as Mistral has it; only those of type ``text`` are said to anybody."""

    type: str = "text"
    text: Any = None


class Said(Struct):
    """What a chunk adds, or what a whole answer says."""

    content: str | list[Part] | None = None
    tool_calls: list[Call] | None = None
    refusal: str | None = None

    @property
    def text(self) -> str:
        """What of it is said."""
        if isinstance(self.content, list):
            return "".join(it.text for it in self.content if it.type == "text" and isinstance(it.text, str))
        return self.content or ""


class Choice(Struct):
    """An answer; only the first is asked for."""

    index: int | None = None
    delta: Said | None = None
    message: Said | None = None
    finish_reason: str | None = None
    error: Any = None


class Counted(Struct):
    """Tokens; a good answer isn't thrown away because they are counted oddly."""

    prompt_tokens: Any = None
    completion_tokens: Any = None

    @property
    def usage(self) -> Usage:
        """What was counted, as far as those are numbers."""
        return Usage(_number(self.prompt_tokens), _number(self.completion_tokens))


class Chunk(Struct):
    """A chunk of a stream, or a whole answer of a server that doesn't stream."""

    choices: list[Choice] | None = None
    usage: Counted | None = None
    error: Any = UNSET


class Answer:
    """Gathers what isn't told at once, at most ``most`` characters of it."""

    def __init__(self, most: int = 200_000) -> None:
        self._left = most
        self.finish: Finish | None = None
        self._usage: Usage | None = None
        self._calls: list[_Gathered] = []
        self._places: dict[int, int] = {}
        """Where the calls are that the server gives a number."""
        self._thinking = Thinking()
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
            self._usage = chunk.usage.usage
        choice = next((each for each in chunk.choices or () if not each.index), None)
        if choice is None:
            return
        if choice.error or choice.finish_reason == "error":
            raise failure_in(choice.error)
        said = choice.delta or choice.message
        if said is not None:
            self._refused |= bool(said.refusal)
            for call in said.tool_calls or ():
                self._add(call)
            if text := self._thinking.without(said.text):
                yield Delta(text)
        # Some servers say "" until there is a reason.
        if choice.finish_reason:
            self.finish = _FINISHES.get(choice.finish_reason, "stop")

    def end(self) -> Delta:
        """Return what was gathered, and how it ended."""
        calls = tuple(
            ToolCall(call.id or f"call-{place}", call.name, "".join(call.parts) or "{}")
            for place, call in enumerate(self._calls)
        )
        finish: Finish = self.finish or "stop"
        if self._refused:
            finish = "filtered"
        elif calls and finish == "stop":
            # Some servers say so although they want a tool called.
            finish = "tool"
        return Delta(self._thinking.rest(), tool_calls=calls, finish=finish, usage=self._usage)

    def _add(self, part: Call) -> None:
        function = part.function or Function()
        arguments = function.arguments or ""
        if isinstance(arguments, dict):
            arguments = msgspec.json.encode(arguments).decode()
        # Nobody hears of it before it is whole, so nobody else can count it.
        self._left -= len(arguments) + len(function.name or "")
        if self._left < 0:
            raise LlmError("too_large", "what the model wants tools called with is longer than an answer may be")
        call = self._begun(part, function)
        if call is None:
            if len(self._calls) >= _MOST_CALLS:
                raise LlmError("too_large", f"the model wants more than {_MOST_CALLS} tools called at once")
            call = _Gathered()
            if part.index is not None:
                self._places[part.index] = len(self._calls)
            self._calls.append(call)
        call.id = (part.id or call.id)[:_MOST_ID]
        call.name = function.name or call.name
        if arguments:
            call.parts.append(arguments)

    def _begun(self, part: Call, function: Function) -> _Gathered | None:
        """Return the call that a part goes on with; None where it begins one.

        Not all servers number calls, and some give all of them the same number: then another name and id tell.
        """
        place = self._places.get(part.index) if part.index is not None else len(self._calls) - 1
        if place is None or place < 0:
            return None
        last = self._calls[place]
        is_another = bool(function.name) and (part.id != last.id if part.id and last.id else part.index is None)
        return None if is_another else last


class _Gathered(Struct):
    """What has come of a call."""

    id: str = ""
    name: str = ""
    parts: list[str] = []


def _number(value: Any) -> int:
    is_one = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53
    return int(value) if is_one else 0
