"""A call as the server reads it, and what is left out for one that refuses it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tta_llm import Message, ModelCall

_FORMATS = ("json_schema", "json_object with schema", "json_object", "")
"""How a server is asked for JSON, the most exact way first; the last one asks in words alone, as the messages do."""

_LIMITS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
"""How the most tokens of an answer are called where they aren't called so."""
_SPARED = frozenset({"temperature", "seed", *_LIMITS})
"""The fields without which, or by another name, a request still means the same."""
_REFUSALS = frozenset({400, 415, 422, 501})
"""How servers refuse a field that they don't know."""


class Form(Struct, frozen=True):
    """What of a call a server takes, as far as it is known."""

    format: int = 0
    counts: bool = True
    """Whether it is asked to count tokens at the end of a stream."""
    refused: frozenset[str] = frozenset()
    """The fields that it has refused by name."""

    def after_refusal(self, call: ModelCall, status: int, field: str = "") -> Form | None:
        """Return what to try next; None where nothing is left that a server might not know.

        ``field`` is what the server says it doesn't take: reasoning models take no temperature, and no `max_tokens`.
        """
        if status == 500:
            # llama.cpp's Python server says so of a schema. Only once: else a server that fails is asked too often.
            return replace(self, format=1) if call.schema is not None and self.format == 0 else None
        if status not in _REFUSALS:
            return None
        if field in _SPARED:
            return replace(self, refused=self.refused | {field}) if field not in self.refused else None
        if call.schema is not None and self.format < len(_FORMATS) - 1:
            return replace(self, format=self.format + 1)
        if self.counts:
            return replace(self, counts=False)
        return None


def body_of(call: ModelCall, model: str, form: Form, limit_field: str) -> dict[str, Any]:
    """Return the body of a request for chat completions."""
    body: dict[str, Any] = {"model": model, "messages": [_message(each) for each in call.messages], "stream": True}
    if form.counts:
        body["stream_options"] = {"include_usage": True}
    if call.max_tokens is not None:
        body[_LIMITS[limit_field] if limit_field in form.refused else limit_field] = call.max_tokens
    settings = {"temperature": call.temperature, "seed": call.seed, "stop": list(call.stop) or None}
    body |= {name: value for name, value in settings.items() if value is not None and name not in form.refused}
    if call.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": it.name, "description": it.description, "parameters": dict(it.parameters)},
            }
            for it in call.tools
        ]
    if call.schema is not None and (wanted := _format(dict(call.schema), _FORMATS[form.format])) is not None:
        body["response_format"] = wanted
    return body


def _format(schema: dict[str, Any], how: str) -> dict[str, Any] | None:
    if how == "json_schema":
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    if how == "json_object with schema":
        # As llama.cpp and its Python server read it.
        return {"type": "json_object", "schema": schema}
    return {"type": "json_object"} if how else None


def _message(message: Message) -> dict[str, Any]:
    told: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.tool_calls:
        told["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        told["tool_call_id"] = message.answers
    return told
