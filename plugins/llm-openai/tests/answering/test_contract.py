"""The backend keeps the contract, with a server that says on the wire what the contract's script has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tta_llm import Models
from tta_llm.testing import ModelsContract, Says
from tta_llm.testing.models import Open
from tta_llm_openai import Config, Endpoint
from tta_llm_openai.models import models_of

from .server import DONE, Handler, Server, chunk, event, serving, status, streams

_FINISHES = {"tool": "tool_calls", "filtered": "content_filter"}


class Speaking(Server):
    """Answers as the protocol has it: chats by a script, and the rest by itself."""

    def __init__(self, *script: Says) -> None:
        super().__init__()
        self._chats = [spoken(says) for says in script]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/models"):
            return await status(200, {"data": [{"id": "model"}]})(request)
        if request.path.endswith("/embeddings"):
            texts = (await request.json())["input"]
            data = [{"index": n, "embedding": [len(text), ord(text[0])]} for n, text in enumerate(texts)]
            return await status(200, {"data": data[::-1]})(request)
        handler = self._chats.pop(0) if len(self._chats) > 1 else self._chats[0]
        return await handler(request)


def spoken(says: Says) -> Handler:
    pieces = [chunk(piece) for piece in says.pieces]
    if says.error is not None:
        return streams(*pieces)
    calls: list[dict[str, Any]] = []
    for place, call in enumerate(says.tool_calls):
        function = {"name": call.name, "arguments": call.arguments}
        calls.append({"index": place, "id": call.id, "function": function})
    finish = "tool" if calls and says.finish == "stop" else says.finish
    said = chunk(tool_calls=calls) if calls else b""
    usage = says.usage
    counted = {"prompt_tokens": usage.prompt, "completion_tokens": usage.completion} if usage else None
    end = chunk(finish=_FINISHES.get(finish, finish))
    return streams(*pieces, said, end, event({"choices": [], "usage": counted}), DONE)


class TestOpenAI(ModelsContract):
    @pytest.fixture
    def opened(self) -> Open:
        @asynccontextmanager
        async def opened(*script: Says) -> AsyncIterator[Models]:
            async with serving_and_asking(Speaking(*script)) as models:
                yield models

        return opened


@asynccontextmanager
async def serving_and_asking(server: Server) -> AsyncIterator[Models]:
    async with serving(server), models_of(Config(endpoints={"scripted": Endpoint(base_url=server.url)})) as models:
        yield models
