"""What a server does instead of answering: an `LlmError` with the right code, in time, and no leak of who or what."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trustme
from aiohttp import web

from tta_kernel.testing import problems
from tta_llm import ChatRequest, Config, Limits, LlmError, Message, Retries
from tta_llm.testing import scripted
from tta_llm_openai import Config as Endpoints
from tta_llm_openai import LlmOpenai
from tta_llm_openai.failures import retry_after
from tta_llm_openai.models import models_of

from .server import DONE, Handler, Server, chunk, event, serving, status, streams

SOON = Limits(connect=5, first=0.3, idle=0.3, total=30)
PATIENT = Limits(connect=5, first=60, idle=60, total=60)
ASK = ChatRequest(messages=(Message("user", "MARK my words"),))
WELL = streams(chunk("all "), chunk("is well", finish="stop"), DONE)
HALF = "é".encode()


async def resets(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hangs(request: web.Request) -> web.StreamResponse:
    await anyio.sleep_forever()
    raise AssertionError


def writes(raw: bytes, then: Handler = resets) -> Handler:
    """Write bytes that are no answer, or not all of one."""

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(raw)
        # Only once the kernel has it: a reset takes along what hasn't left.
        await anyio.lowlevel.checkpoint()
        return await then(request)

    return handler


async def endless(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await answer.write(chunk("on and on " * 100))
    return answer


async def endless_comments(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await answer.write(b": still here\n\n" * 100)
            await anyio.lowlevel.checkpoint()
    return answer


async def closes(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
FAULTS: dict[str, tuple[Handler, str, Limits]] = {
    "never answers": (hangs, "timed_out", SOON),
    "a slow first piece": (streams(b": wait\n\n", then=hangs), "timed_out", SOON),
    "silence in the middle": (streams(chunk("The "), then=hangs), "timed_out", SOON),
    "comments without end": (endless_comments, "timed_out", SOON),
    "an answer without end": (endless, "too_large", PATIENT),
    "a line without end": (streams(b"data: " + b"x" * (5 * 2**20)), "too_large", PATIENT),
    "a whole answer that is huge": (
        streams(b" " * (33 * 2**20), type="application/json"), "too_large", PATIENT,
    ),
    "a token cut in the middle": (streams(chunk("The "), b'data: {"choi', then=closes), "broken_stream", PATIENT),
    "a character cut in the middle": (streams(b"data: " + HALF[:1] + b"\n\n"), "broken_stream", PATIENT),
    "an end in the middle": (streams(chunk("The ")), "broken_stream", PATIENT),
    "a reset in the middle": (streams(chunk("The "), then=resets), "broken_stream", PATIENT),
    "a reset at once": (resets, "unavailable", PATIENT),
    "half of the headers": (writes(HEAD), "unavailable", PATIENT),
    "half of the headers, and silence": (writes(HEAD, hangs), "timed_out", SOON),
    "headers without end": (writes(HEAD + b"X: " + b"y" * 2**20, hangs), "unavailable", PATIENT),
    "what is no HTTP": (writes(b"\x00\x01\x02 MARK\r\n\r\n", hangs), "unavailable", PATIENT),
    "a length that isn't kept": (writes(HEAD + b"Content-Length: 900\r\n\r\n", closes), "broken_stream", PATIENT),
    "malformed JSON": (streams(b"data: {MARK\n\n"), "broken_stream", PATIENT),
    "JSON that is no chunk": (streams(event({"choices": "MARK"})), "broken_stream", PATIENT),
    "an error in the stream": (streams(chunk("a"), event({"error": {"message": "MARK"}})), "unavailable", PATIENT),
    "a limit told in the stream": (streams(event({"error": {"code": 429}})), "rate_limited", PATIENT),
    "a page": (streams(b"<html>MARK</html>", type="text/html"), "unavailable", PATIENT),
    "a redirect": (status(302, headers={"Location": "/v1/elsewhere"}), "unavailable", PATIENT),
    "a key that is wrong": (status(401), "denied", PATIENT),
    "a model that isn't there": (status(404), "unavailable", PATIENT),
    "too much": (status(400, {"error": {"code": "context_length_exceeded"}}), "too_large", PATIENT),
    "what is filtered": (status(400, {"error": {"code": "content_filter"}}), "refused", PATIENT),
    "a refusal in words": (streams(chunk(refusal="MARK"), chunk(finish="stop"), DONE), "refused", PATIENT),
    "no more money": (status(429, {"error": {"type": "insufficient_quota"}}), "over_budget", PATIENT),
    "too many": (status(429), "rate_limited", PATIENT),
    "a failure": (status(500), "unavailable", PATIENT),
    "a gateway that waits": (status(504), "timed_out", PATIENT),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
async def test_whatever_a_server_does_is_told_in_time_and_the_next_answer_comes(
    name: str, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    handler, code, limits = FAULTS[name]
    server.answers = [handler]
    config = Config(model="default/gemma", limits=limits, retries=Retries(times=0))
    with anyio.fail_after(120):
        async with models_of(Endpoints(base_url=server.url, api_key="sk-MARK")) as models:
            llm = scripted(models=models, config=config)
            with pytest.raises(LlmError) as caught:
                await llm.chat(ASK)
            server.answers = [WELL]
            patient = scripted(models=models, config=Config(model="default/gemma", limits=PATIENT))
            assert (await patient.chat(ASK)).text == "all is well"
    assert caught.value.code == code
    assert "MARK" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    assert "MARK" not in caplog.text


async def test_a_server_that_isnt_there_is_unavailable_and_hasnt_worked() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        async with models_of(Endpoints(base_url=url)) as models:
            with pytest.raises(LlmError, match="unavailable") as caught:
                await scripted(models=models, config=Config(model="default/x", retries=Retries(times=0))).chat(ASK)
    assert not caught.value.reached


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_server_says_when_to_come_back_in_seconds_or_as_a_date(server: Server, form: str) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=2000), usegmt=True)
    server.answers = [status(429, headers={"Retry-After": "2000" if form == "seconds" else later})]
    async with models_of(Endpoints(base_url=server.url)) as models:
        with pytest.raises(LlmError) as caught:
            await scripted(models=models, config=Config(model="default/x")).chat(ASK)
    assert caught.value.retry_after == pytest.approx(2000, abs=100)
    # It is too long to wait for.
    assert len(server.paths) == 1


@pytest.mark.parametrize("text", ["", "soon", "-5", "1e9", "9" * 40, "Mon, 99 Foo 2026", "\ud800"])
def test_what_is_no_time_to_come_back_is_none(text: str) -> None:
    assert retry_after(text) is None


async def test_a_failure_is_followed_by_an_answer_and_a_stream_by_no_second_one(server: Server) -> None:
    server.answers = [status(503, headers={"Retry-After": "0"}), resets, WELL]
    config = Config(model="default/x", retries=Retries(times=3, pause=0.001))
    async with models_of(Endpoints(base_url=server.url)) as models:
        llm = scripted(models=models, config=config)
        async with llm.stream(ASK) as pieces:
            assert [piece.text async for piece in pieces] == ["all ", "is well"]
        assert len(server.paths) == 3
        server.answers = [streams(chunk("all "), then=resets), WELL]
        server.paths.clear()
        async with llm.stream(ASK) as pieces:
            begun = aiter(pieces)
            assert (await anext(begun)).text == "all "
            with pytest.raises(LlmError, match="broken_stream"):
                await anext(begun)
    assert len(server.paths) == 1


async def leaves(pieces: Any) -> None:
    async for _ in pieces:
        break


async def is_cancelled(pieces: Any) -> None:
    with anyio.CancelScope() as scope:
        async for _ in pieces:
            scope.cancel()


@pytest.mark.parametrize("reads", [leaves, is_cancelled])
async def test_whoever_leaves_has_closed_the_connection_and_the_server_stops(
    server: Server, reads: Callable[[Any], Any]
) -> None:
    gone = anyio.Event()

    async def writes_on(request: web.Request) -> web.StreamResponse:
        try:
            return await endless_slowly(request)
        finally:
            gone.set()

    async def endless_slowly(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(chunk("once "))
        return await hangs(request)

    server.answers = [writes_on]
    with anyio.fail_after(60):
        async with models_of(Endpoints(base_url=server.url)) as models:
            async with scripted(models=models, config=Config(model="default/x")).stream(ASK) as pieces:
                await reads(pieces)
            await gone.wait()


async def test_a_server_is_read_no_faster_than_its_reader_takes(server: Server) -> None:
    written = 0

    async def fast(request: web.Request) -> web.StreamResponse:
        nonlocal written
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for _ in range(4000):
            await answer.write(chunk("x" * 10_000))
            written += 1
        return answer

    server.answers = [fast]
    async with (
        models_of(Endpoints(base_url=server.url)) as models,
        scripted(models=models, config=Config(model="default/x")).stream(ASK) as pieces,
    ):
        await anext(aiter(pieces))
        before = -1
        while before != written:
            before = written
            await anyio.wait_all_tasks_blocked()
    # 40 MB would have come; sockets and aiohttp hold a few.
    assert written < 2000


async def test_only_a_server_with_a_certificate_that_is_trusted_is_told_anything(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = Server()
    server.answers = [WELL]
    config = Config(model="default/x", retries=Retries(times=0))
    async with serving(server, context):
        async with models_of(Endpoints(base_url=server.url)) as models:
            with pytest.raises(LlmError, match="isn't who it should be"):
                await scripted(models=models, config=config).chat(ASK)
        assert server.paths == []
        async with models_of(Endpoints(base_url=server.url, ca_file=tmp_path / "ca.pem")) as models:
            assert (await scripted(models=models, config=config).chat(ASK)).text == "all is well"


LOGIN = "me:hush"
CHECKED = [
    ({}, ["there is no endpoint"]),
    ({"base_url": "http://127.0.0.1:8080/v1"}, []),
    ({"base_url": "http://[::1]:8080/v1"}, []),
    ({"base_url": "http://localhost:11434/v1"}, []),
    ({"base_url": "https://gpu.internal/v1"}, []),
    ({"base_url": "https://192.0.2.3/v1"}, []),
    ({"base_url": "http://192.0.2.3/v1"}, ["plain http"]),
    ({"base_url": "http://127.0.0.1.example.org/v1"}, ["plain http", "isn't visibly"]),
    ({"base_url": "https://[2001:4860::8]/v1"}, ["isn't visibly"]),
    ({"base_url": "https://[::ffff:808:808]/v1"}, ["isn't visibly"]),
    ({"base_url": "http://[::ffff:7f00:1]/v1"}, []),
    ({"base_url": "https://models.example.org/v1"}, ["isn't visibly a host of one's own"]),
    ({"base_url": "https://models.example.org/v1", "third_party": True}, []),
    ({"base_url": f"https://{LOGIN}@gpu.internal/v1"}, ["is no address"]),
    ({"base_url": "file:///etc/passwd"}, ["is no address"]),
    ({"base_url": "https://gpu.internal/v1?key=1"}, ["is no address"]),
    ({"endpoints": {"x": {"base_url": "https://x.internal", "headers": {"Authorization": "k"}}}}, ["is a secret"]),
]  # fmt: skip


@pytest.mark.parametrize(("config", "said"), CHECKED, ids=range(len(CHECKED)))
def test_where_a_deployment_had_better_not_send_texts_is_told_before_it_starts(
    config: dict[str, Any], said: list[str]
) -> None:
    found = problems(LlmOpenai, config=config)
    assert len(found) == len(said)
    assert all(part in text for part, text in zip(said, found, strict=True))
    assert not any("hush" in text for text in found)
