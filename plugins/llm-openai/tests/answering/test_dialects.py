"""What servers and gateways are reported to do, in public, that OpenAI's own doesn't: an answer is an answer."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_llm import ChatRequest, LlmError, ModelCall, ToolCall
from tta_llm_openai.answers import Answer
from tta_llm_openai.sse import Events, TooLong
from tta_llm_openai.thinking import Thinking

from .server import DONE, Server, chunk, event, status, streams
from .test_protocol import HELLO, asking, deltas_of

SEA = "The sea"


def parts(*given: Any) -> bytes:
    return event({"choices": [{"delta": {"content": list(given)}}]})


def counted(**usage: Any) -> bytes:
    return event({"choices": [], "usage": usage})


SPEAKING: dict[str, tuple[bytes, ...]] = {
    "an empty reason in each chunk": (chunk("The ", finish=""), chunk("sea", finish=""), chunk(finish="stop"), DONE),
    "parts": (parts({"type": "text", "text": "The "}), parts({"type": "text", "text": "sea"}), DONE),
    "parts of other kinds": (
        parts({"type": "thinking", "thinking": [{"type": "text", "text": "MARK"}]}, {"type": "text", "text": SEA}),
        parts({"type": "reference", "reference_ids": [1]}), DONE,
    ),
    "thoughts": (chunk("\n<th"), chunk("ink>MARK\n\nM"), chunk("ARK</thi"), chunk("nk>\n\n"), chunk(SEA), DONE),
    "thoughts by another name": (chunk("<thought>MARK</thought>" + SEA), DONE),
    "thoughts in a field": (chunk(reasoning_content="MARK", content=None), chunk(SEA, reasoning=None), DONE),
    "a second answer": (chunk(SEA), event({"choices": [{"index": 1, "delta": {"content": "MARK"}}]}), DONE),
    "odd counts": (chunk(SEA), counted(prompt_tokens=7.0, completion_tokens="3"), counted(prompt_tokens={}), DONE),
    "huge counts": (chunk(SEA), counted(prompt_tokens=10**40, completion_tokens=1e300), DONE),
}  # fmt: skip


@pytest.mark.parametrize("pieces", SPEAKING.values(), ids=SPEAKING)
async def test_what_is_said_is_told_and_nothing_else(server: Server, pieces: tuple[bytes, ...]) -> None:
    server.answers = [streams(*pieces)]
    async with asking(server) as (llm, _):
        reply = await llm.chat(ChatRequest(messages=HELLO))
    assert (reply.text, reply.finish) == (SEA, "stop")
    assert reply.usage.estimated
    assert 0 < reply.usage.completion < 100


async def test_an_answer_that_is_slow_after_an_empty_reason_is_waited_for(server: Server) -> None:
    answer = Answer()
    assert [delta.text for delta in answer.take(b'{"choices": [{"delta": {"content": "a"}, "finish_reason": ""}]}')]
    assert answer.finish is None


@given(st.text("<>/think a\n", max_size=40), st.lists(st.integers(0, 60), max_size=8))
def test_thoughts_are_left_out_wherever_the_network_cuts_them(text: str, cuts: list[int]) -> None:
    for whole, told in ((f" <think>{text}</think> Sea{text}", f"Sea{text}"), (f"Sea{text}", f"Sea{text}")):
        if "</think>" in text and whole != told:
            continue
        places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
        thinking = Thinking()
        found = "".join(thinking.without(whole[a:b]) for a, b in pairwise(places))
        assert found + thinking.rest() == told


@pytest.mark.parametrize("text", ["", " ", "<", "<thi", "<b>x", "<think", "a <think>b</think>"])
def test_what_is_no_thought_is_told_to_the_end(text: str) -> None:
    thinking = Thinking()
    assert thinking.without(text) + thinking.rest() == text


def test_thoughts_without_an_end_are_nobody_s() -> None:
    thinking = Thinking()
    assert "".join(thinking.without(piece) for piece in ("<think>", "a" * 1000, "</th")) + thinking.rest() == ""


def part(name: str | None, arguments: str | None, **more: Any) -> bytes:
    return chunk(tool_calls=[{**more, "function": {"name": name, "arguments": arguments}}])


CALLING: dict[str, tuple[bytes, ...]] = {
    "without a number": (
        part("dice", None, id="c1"), part(None, '{"a'), part(None, '":1}'), part("coin", "{}", id="c2"),
    ),
    "whole ones without a number": (part("dice", '{"a":1}', id="c1"), part("coin", "{}", id="c2")),
    "all of one number": (
        part("dice", '{"a":', id="c1", index=0), part(None, "1}", id="c1", index=0),
        part("coin", "{}", id="c2", index=0),
    ),
    "all of it in each part": (
        part("dice", '{"a"', id="c1", index=0), part("dice", ":1}", id="c1", index=0),
        part("coin", "", id="c2", index=3), part("coin", "{}", id="c2", index=3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("pieces", CALLING.values(), ids=CALLING)
async def test_calls_are_told_apart_and_put_together(server: Server, pieces: tuple[bytes, ...]) -> None:
    server.answers = [streams(*pieces, chunk(finish="tool_calls"), DONE)]
    async with asking(server) as (_, models):
        [end] = await deltas_of(models, ModelCall(model="default/gemma", messages=HELLO))
    assert end.tool_calls == (ToolCall("c1", "dice", '{"a":1}'), ToolCall("c2", "coin", "{}"))


def test_what_is_gathered_for_later_has_an_end() -> None:
    more = {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "a" * 1000}}]}}]}
    answer, events = Answer(most=10_000), Events(10_000)

    def gather() -> None:
        for _ in range(20):
            assert not [*answer.take(msgspec.json.encode(more))]

    def feed() -> None:
        for _ in range(20):
            assert not [*events.feed(b"data:\n" * 1000)]

    with pytest.raises(LlmError, match="too_large"):
        gather()
    with pytest.raises(TooLong):
        feed()


OVERLONG = "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens."
FAILING: dict[str, tuple[Any, str]] = {
    "an error in the choice": (
        streams(event({"choices": [{"delta": {}, "finish_reason": "error", "error": {"code": 429}}]})), "rate_limited",
    ),
    "an error without a word": (streams(chunk(finish="error"), DONE), "unavailable"),
    "a status as a text": (streams(event({"error": {"code": "429", "message": "MARK"}})), "rate_limited"),
    "a status with 200": (status(200, {"error": {"code": "429", "message": "MARK"}}), "rate_limited"),
    "too long, in words": (status(400, {"object": "error", "message": OVERLONG, "code": 400}), "too_large"),
    "too long, in other words": (
        status(400, {"error": {"message": "the request exceeds the available context size", "code": 400}}), "too_large",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("handler", "code"), FAILING.values(), ids=FAILING)
async def test_errors_are_known_wherever_they_stand(server: Server, handler: Any, code: str) -> None:
    server.answers = [handler]
    async with asking(server) as (llm, _):
        with pytest.raises(LlmError) as caught:
            await llm.chat(ChatRequest(messages=HELLO))
    assert caught.value.code == code
    assert "MARK" not in str(caught.value)


def refuses(*fields: str) -> Any:
    """Answer as a server does that takes none of these fields, and says so one by one."""

    async def handler(request: Any) -> Any:
        body = await request.json()
        for field in fields:
            if field in body:
                error = {"code": "unsupported_parameter", "param": field, "message": "MARK"}
                return await status(400, {"error": error})(request)
        return await streams(chunk(SEA, finish="stop"), DONE)(request)

    return handler


async def test_a_model_that_refuses_a_field_by_name_is_asked_without_it_and_it_is_remembered(server: Server) -> None:
    server.answers = [refuses("max_tokens", "temperature")]
    request = ChatRequest(messages=HELLO, max_tokens=20, temperature=0.5)
    async with asking(server) as (llm, _):
        for requests in (3, 4):
            assert (await llm.chat(request)).text == SEA
            assert len(server.bodies) == requests
    last = server.bodies[-1]
    assert (last["max_completion_tokens"], last["stream_options"]) == (20, {"include_usage": True})
    assert not {"max_tokens", "temperature"} & {*last}


async def test_a_model_that_refuses_every_name_of_a_field_is_let_be(server: Server) -> None:
    server.answers = [refuses("max_tokens", "max_completion_tokens")]
    async with asking(server) as (llm, _):
        with pytest.raises(LlmError, match="invalid_request"):
            await llm.chat(ChatRequest(messages=HELLO, max_tokens=20))
    assert len(server.bodies) < 5
