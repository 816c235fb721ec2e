"""What is sent, and what is read, when a server does as it should."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_llm import ChatRequest, Config, Message, ModelCall, Retries, ToolCall, ToolOffer, Usage
from tta_llm.asking import model_names, vectors
from tta_llm.llm import ChainedModels
from tta_llm.testing import scripted
from tta_llm_openai import Config as Endpoints
from tta_llm_openai import Endpoint
from tta_llm_openai.models import OpenAIModels, models_of
from tta_llm_openai.sse import Events

from .server import COUNTED, DONE, Server, chunk, event, status, streams

WELL = streams(chunk("The "), chunk("sea"), chunk(finish="stop"), COUNTED, DONE)
HELLO = (Message("system", "be kind"), Message("user", "hello"))


@asynccontextmanager
async def asking(server: Server, **how: Any) -> AsyncIterator[tuple[ChainedModels, OpenAIModels]]:
    config = Config(model="default/gemma", retries=Retries(times=0))
    async with models_of(Endpoints(base_url=server.url, **how)) as models:
        yield scripted(models=models, config=config), models


async def deltas_of(models: OpenAIModels, call: ModelCall) -> list[Any]:
    return [delta async for delta in models.stream(call)]


async def test_a_request_holds_what_was_asked_and_nothing_of_who_asked(server: Server) -> None:
    server.answers = [WELL]
    request = ChatRequest(
        messages=HELLO, max_tokens=20, temperature=0.5, seed=7, stop=("END",), session="MARK", owner="MARK",
        key="MARK", agent="MARK",
    )  # fmt: skip
    async with asking(server, api_key="sk-1", headers={"X-Title": "tta"}) as (llm, _):
        reply = await llm.chat(request)
    assert (reply.text, reply.model, reply.usage) == ("The sea", "default/gemma", Usage(7, 3))
    assert server.paths == ["/v1/chat/completions"]
    assert server.bodies == [
        {
            "model": "gemma", "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 20,
            "temperature": 0.5, "seed": 7, "stop": ["END"],
            "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}],
        }
    ]  # fmt: skip
    assert server.headers[0]["Authorization"] == "Bearer sk-1"
    assert server.headers[0]["X-Title"] == "tta"
    assert "MARK" not in str((dict(server.headers[0]), server.bodies))


async def test_a_connection_is_used_again_and_no_proxy_of_the_environment_is(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert os.environ["http_proxy"]
    ports: list[int] = []

    async def noting(request: Any) -> Any:
        ports.append(request.transport.get_extra_info("peername")[1])
        return await WELL(request)

    server.answers = [noting]
    async with asking(server) as (llm, _):
        for _ in range(3):
            await llm.chat(ChatRequest(messages=HELLO))
    assert len({*ports}) == 1


async def test_tools_are_offered_and_their_calls_put_together_from_their_pieces(server: Server) -> None:
    first = {"index": 0, "id": "c1", "type": "function", "function": {"name": "kg-query", "arguments": ""}}
    second = {"index": 1, "id": "c2", "function": {"name": "dice", "arguments": {"sides": 6}}}
    server.answers = [
        streams(
            chunk(tool_calls=[first]), chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"na'}}]),
            chunk(tool_calls=[second]), chunk(tool_calls=[{"index": 0, "function": {"arguments": 'me": "x"}'}}]),
            chunk(finish="stop"), DONE,
        )
    ]  # fmt: skip
    offer = ToolOffer("kg-query", "asks", {"type": "object"})
    history = (
        *HELLO, Message("assistant", tool_calls=(ToolCall("c0", "dice", "{}"),)), Message("tool", "4", answers="c0"),
    )  # fmt: skip
    async with asking(server) as (_, models):
        [end] = await deltas_of(models, ModelCall(model="default/gemma", messages=history, tools=(offer,)))
    assert end.finish == "tool"
    assert end.tool_calls == (ToolCall("c1", "kg-query", '{"name": "x"}'), ToolCall("c2", "dice", '{"sides":6}'))
    [body] = server.bodies
    assert body["tools"][0]["function"]["name"] == "kg-query"
    assert body["messages"][2]["tool_calls"][0]["function"] == {"name": "dice", "arguments": "{}"}
    assert body["messages"][3] == {"role": "tool", "content": "4", "tool_call_id": "c0"}


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def takes_only(*formats: Any, counts: bool = True, code: int = 422) -> Any:
    """Answer as a server does that knows these formats alone, and says so by a ``code``."""

    async def handler(request: Any) -> Any:
        body = await request.json()
        known = body.get("response_format", {}).get("type") in formats
        if not known or ("stream_options" in body and not counts):
            return await status(code, {"detail": "MARK"})(request)
        return await streams(chunk('{"a": 1}'), chunk(finish="stop"), DONE)(request)

    return handler


@pytest.mark.parametrize(
    ("handler", "requests"),
    [
        (takes_only("json_schema"), 1), (takes_only("json_object"), 2), (takes_only(None), 4),
        (takes_only(None, counts=False), 5), (takes_only("json_object", code=500), 2),
    ],
    ids=["a schema", "JSON", "neither", "nothing", "llama.cpp's Python server"],
)  # fmt: skip
async def test_a_server_that_refuses_a_schema_is_asked_more_simply_and_it_is_remembered(
    server: Server, handler: Any, requests: int
) -> None:
    server.answers = [handler]
    request = ChatRequest(messages=HELLO, schema=SCHEMA)
    async with asking(server) as (llm, _):
        assert (await llm.chat(request)).output == {"a": 1}
        assert len(server.paths) == requests
        assert (await llm.chat(request)).output == {"a": 1}
    assert len(server.paths) == requests + 1


async def test_models_are_listed_by_endpoint_as_far_as_those_can_be_reached(server: Server) -> None:
    server.answers = [status(200, {"object": "list", "data": [{"id": "gemma"}, {"id": "org/qwen:7b"}]})]
    endpoints = {"one": Endpoint(base_url=server.url), "gone": Endpoint(base_url="http://127.0.0.1:9/v1")}
    async with models_of(Endpoints(endpoints=endpoints)) as models:
        assert await model_names(models, 10) == ["one/gemma", "one/org/qwen:7b"]
    assert server.paths == ["/v1/models"]


async def test_vectors_come_in_the_order_of_their_texts(server: Server) -> None:
    data = [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1.5, 2]}]
    server.answers = [status(200, {"data": data, "usage": {"prompt_tokens": 4}})]
    async with asking(server) as (_, models):
        assert await vectors(models, "default/bge", ["a", "b"], 10) == [[1.5, 2.0], [3.0, 4.0]]
    assert server.bodies[0]["input"] == ["a", "b"]


ANSWERS = [
    (streams(b": keep-alive\r\n\r\n", chunk("The "), chunk("sea", finish="stop"), DONE), "stop", True),
    (streams(chunk("The "), chunk("sea"), chunk(finish="length"), COUNTED, COUNTED, DONE), "length", False),
    (streams(chunk("The sea"), DONE), "stop", True),
    (streams(event({"choices": []}), chunk("The sea", finish="stop")), "stop", True),
    (streams(chunk("The sea", role="assistant", finish="odd"), DONE), "stop", True),
    (streams(chunk("The sea", finish="stop").replace(b"\n", b"\r\n"), DONE), "stop", True),
    (streams(chunk("The sea", finish="stop").replace(b"\n", b"\r"), DONE), "stop", True),
    (status(200, {"choices": [{"message": {"content": "The sea"}, "finish_reason": "stop"}]}), "stop", True),
    (streams(chunk("The sea"), chunk(finish="content_filter"), DONE), "filtered", True),
]


@pytest.mark.parametrize(("handler", "finish", "estimated"), ANSWERS, ids=range(len(ANSWERS)))
async def test_servers_say_the_same_in_many_ways(server: Server, handler: Any, finish: str, estimated: bool) -> None:
    server.answers = [handler]
    async with asking(server) as (llm, _):
        reply = await llm.chat(ChatRequest(messages=HELLO))
    assert (reply.text, reply.finish, reply.usage.estimated) == ("The sea", finish, estimated)


TEXTS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1), min_size=1, max_size=5)


@given(TEXTS, st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_events_are_the_same_wherever_the_network_cuts_them(texts: list[str], end: str, data: st.DataObject) -> None:
    stream = "".join(f": a comment{end}data: {text}{end}event: x{end}{end}" for text in texts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    events = Events(1000)
    places = zip([0, *cuts], [*cuts, len(stream)], strict=True)
    found = [told for begin, stop in places for told in events.feed(stream[begin:stop])]
    # A CR at the very end may be half of an end: what it ends is told with it all the same.
    assert found == texts
    assert not events.pending
