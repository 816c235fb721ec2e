"""Tools that a model may have called: what it is told of them, and what comes of its calls, under the policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tta_tools import ToolError, Tools
from tta_tools.schema import schema_of

from .charging import digest
from .errors import Code, LlmError
from .model import ChatRequest, Message, ToolCall
from .models import ToolOffer

_LONGEST_NAME = 64
_MOST_TOOLS = 64


class Toolbox:
    """The tools of one request; a model sees names with hyphens, since servers take no dots."""

    def __init__(self, tools: Tools | None, request: ChatRequest, offers: Mapping[str, ToolOffer], most: int) -> None:
        self._tools, self._request, self._most = tools, request, most
        self._names = {offer.name: name for name, offer in offers.items()}
        self.offers = tuple(offers.values())

    async def call_all(self, calls: Sequence[ToolCall], number: int) -> Sequence[Message]:
        """Make the calls of one round, one after another, and return their results as messages."""
        results = []
        for place, call in enumerate(calls):
            if place < self._most:
                text = await self._call(call, number, place)
            else:
                text = _failure("too_many", f"at most {self._most} calls at once")
            results.append(Message("tool", text, answers=call.id))
        return results

    async def _call(self, call: ToolCall, number: int, place: int) -> str:
        request, name = self._request, self._names.get(call.name)
        if name is None or self._tools is None:
            return _failure("not_found", "this tool wasn't offered")
        try:
            arguments = msgspec.json.decode(call.arguments or "{}")
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return _failure("invalid_arguments", "the arguments are no JSON")
        if not isinstance(arguments, dict):
            return _failure("invalid_arguments", "the arguments are no JSON object")
        # The whole call is in the key: a model that is asked again may want another one in this place.
        key = digest(request.key, str(number), str(place), name, call.arguments) if request.key else ""
        try:
            result = await self._tools.run(
                name, arguments, key=key, session=request.session, owner=request.owner, agent=request.agent
            )
        except ToolError as exc:
            return _failure(exc.code, exc.detail)
        return msgspec.json.encode(result.value).decode()


async def toolbox(tools: Tools | None, request: ChatRequest, most: int) -> Toolbox:
    """Look up the tools of a request, or raise `LlmError` where one of them can't be offered."""
    offers: dict[str, ToolOffer] = {}
    if not request.tools:
        return Toolbox(None, request, {}, most)
    if tools is None:
        raise LlmError("denied", "no plugin provides tools: enable `tools`", reached=False)
    if len(request.tools) > _MOST_TOOLS:
        raise LlmError("invalid_request", f"at most {_MOST_TOOLS} tools can be offered", reached=False)
    for name in request.tools:
        try:
            spec = await tools.get(name)
        except ToolError as exc:
            code: Code = "invalid_request" if exc.code == "not_found" else "unavailable"
            raise LlmError(code, f"tool {name[:_LONGEST_NAME]!r}: {exc.code}", reached=False) from exc
        if len(spec.name) > _LONGEST_NAME:
            raise LlmError("invalid_request", f"tool {spec.name!r} has too long a name for a model", reached=False)
        offers[spec.name] = ToolOffer(spec.name.replace(".", "-"), spec.description, schema_of(spec.parameters))
    return Toolbox(tools, request, offers, most)


def _failure(code: str, detail: str) -> str:
    return msgspec.json.encode({"error": code, "detail": detail}).decode()
