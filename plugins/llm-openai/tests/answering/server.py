"""A server on this machine that speaks the protocol, as well or as badly as a test says."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def chunk(text: str | None = None, *, finish: str | None = None, **delta: Any) -> bytes:
    """Return the event of one chunk."""
    said = {**({"content": text} if text is not None else {}), **delta}
    return event({"choices": [{"index": 0, "delta": said, "finish_reason": finish}]})


def event(data: Any, end: bytes = b"\n\n") -> bytes:
    return b"data: " + msgspec.json.encode(data) + end


DONE = b"data: [DONE]\n\n"
COUNTED = event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})


def streams(*pieces: bytes, type: str = "text/event-stream", then: Handler | None = None) -> Handler:
    """Answer with these pieces, each written by itself; then do what ``then`` does."""

    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": type})
        await answer.prepare(request)
        for piece in pieces:
            await answer.write(piece)
        if then is not None:
            await then(request)
        return answer

    return handler


def status(code: int, body: Any = None, headers: Mapping[str, str] | None = None) -> Handler:
    """Answer with a status, and a body of JSON."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response(body or {"error": {"message": "MARK"}}, status=code, headers=headers)

    return handler


class Server:
    """Gives its ``answers`` in order, the last one again and again, and remembers what was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[Handler] = []
        self.paths: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.bodies: list[Any] = []
        self.gone = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        handler = self.answers[min(len(self.paths), len(self.answers) - 1)]
        self.paths.append(request.path)
        self.headers.append(request.headers)
        raw = await request.read()
        self.bodies.append(msgspec.json.decode(raw) if raw else None)
        try:
            return await handler(request)
        except BaseException:
            self.gone += 1
            raise


@asynccontextmanager
async def serving(server: Server, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Let a server answer on a port of its own, with TLS where there is a ``context``."""
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.05, handler_cancellation=True, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        server.url = f"http{'s' if context else ''}://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield server
    finally:
        await runner.cleanup()
