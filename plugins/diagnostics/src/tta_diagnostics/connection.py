"""One connection: aiohttp's, with a deadline for each request to arrive, and errors that quote nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from tta_http import BAD_REQUEST, HEADERS_TOO_LARGE, REQUEST_TIMEOUT, UNAVAILABLE, HttpProblem

from .config import Config
from .hosts import network_of
from .replies import problem_response, raw_problem

GIVING_UP = 0.3
"""Seconds in which those are told who waited in vain, as it stops."""
Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connection(RequestHandler):
    """Closes whoever takes too long to say what it wants, or says too much.

    aiohttp waits for a minute and more for the rest of a request's header, and answers one that it can't read
    with a text that quotes it.
    """

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop, config: Config) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=config.idle_timeout,
            max_line_size=config.longest_header,
            max_field_size=config.longest_header,
            lingering_time=min(1.0, config.body_timeout),
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type]  # none at all
        )
        self._server = server
        self._config = config
        self._loop = loop
        self.address = ""
        """Where it comes from, without the port; empty on a Unix socket."""
        self.network = ""
        """Under which address a caller without a name is counted."""
        self.certificate: tuple[str, ...] = ()
        """The names in the client's certificate, which TLS has verified."""
        self._deadline: asyncio.TimerHandle | None = None
        self._bytes = 0
        """Of what came and hasn't become a request yet."""
        self._answered = 0
        self._when_lost: Callable[[], None] | None = None
        self._ended = False
        """Whether the other side has said that it sends no more."""
        self._given_up = False
        self._unread = 0
        """Bytes that weren't read when somebody last looked."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # What is the same for all its requests.
        self.address = _address_of(transport)
        self.network = network_of(self.address)
        self.certificate = _names_of(transport)
        self._server.open.add(self)
        if len(self._server.open) > self._config.connections:
            self._refuse(UNAVAILABLE("there are too many connections"))
            return
        self._wait_for_header()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)
        if self._when_lost is not None:
            self._when_lost()
            self._when_lost = None

    def on_lost(self, call: Callable[[], None]) -> None:
        """Call this when the other side has gone, or is to be left: for what would go on without anybody to read it."""
        self._when_lost = call
        if self._ended:
            self.force_close()
        if self._server.leaving:
            call()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport is None:
            return
        if self.busy:
            self._bytes = 0
            self._stop_waiting()
            return
        self._bytes += len(data)
        if self._bytes > self._config.longest_header:
            self._refuse(HEADERS_TOO_LARGE())
        elif self._deadline is None:
            self._wait_for_header()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio heeds it; aiohttp has none to say
        """Keep it open for what is still to be answered: whoever has said all may close that side of it.

        A stream ends, since nobody else can say that its reader has gone; and TLS has no such half.
        """
        super().eof_received()
        self._ended = True
        if not self.busy or self._when_lost is not None or self.transport is None:
            return False
        return self.transport.get_extra_info("ssl_object") is None

    @property
    def busy(self) -> bool:
        """Whether there is a request that has arrived, at least its header, and isn't answered yet."""
        return self._request_count > self._answered

    def abort_if_stalled(self) -> None:
        """Close it where the other side hasn't read a byte since the last time that this was asked."""
        if self.transport is None:
            return
        waiting = self.transport.get_write_buffer_size()
        if waiting and self._unread and waiting >= self._unread:
            self.transport.abort()  # Not `close`, which would wait for that to be read.
        self._unread = waiting

    def end(self) -> None:
        """Note that a request is answered."""
        self._answered += 1
        if self._ended and not self.busy:
            self.close()  # once this answer is written

    def leave(self) -> None:
        """Close it unless something is on its way: a request that is answered, or the first of a new connection.

        What goes on without end is ended.
        """
        if self._when_lost is not None:
            self._when_lost()
            return
        fresh = not self._answered and self._deadline is not None
        if not (self.busy or fresh):
            self.force_close()

    def give_up(self) -> None:
        """Cancel the handler that still hasn't answered, so that who asked is told so and not cut off."""
        if self.busy and self._task_handler is not None:
            self._given_up = True
            self._task_handler.cancel()

    def was_given_up(self) -> bool:
        """Say whether it was `give_up` that cancelled the handler; then the task that asks goes on."""
        if not self._given_up:
            return False
        task = asyncio.current_task(self._loop)
        if task is not None:
            task.uncancel()
        return True

    def _wait_for_header(self) -> None:
        self._stop_waiting()
        self._deadline = self._loop.call_later(self._config.header_timeout, self._late)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if self._bytes:
            self._refuse(REQUEST_TIMEOUT())
        elif not self.busy:
            self.force_close()  # Nothing came at all: there is nobody to tell.

    def _refuse(self, problem: HttpProblem) -> None:
        if self.transport is not None:
            self.transport.write(raw_problem(problem, self._server.new_number()))
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what can't be read; `Application` lets nothing else come here."""
        self.end()
        problem = HEADERS_TOO_LARGE() if isinstance(exc, LineTooLong) else BAD_REQUEST()
        response = problem_response(problem, self._server.new_number())
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """Leave it: what aiohttp would log here quotes the request."""


def _address_of(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""


def _names_of(transport: asyncio.BaseTransport) -> tuple[str, ...]:
    certificate = transport.get_extra_info("peercert")
    names = certificate.get("subjectAltName", ()) if certificate else ()
    return tuple(f"{kind}:{name}" for kind, name in names)


def connection_of(request: web.BaseRequest) -> Connection:
    """Return the connection that a request came by."""
    connection = request.protocol
    assert isinstance(connection, Connection)
    return connection


class Server(web.Server):
    """Makes the connections of one server, and knows which there are."""

    def __init__(self, handle: Handle, config: Config, new_number: Callable[[], str]) -> None:
        super().__init__(handle)
        self.new_number = new_number
        self.open: set[Connection] = set()
        self.leaving = False
        self._config = config
        self._lost = anyio.Event()

    def __call__(self) -> Connection:
        return Connection(self, self._loop, self._config)

    def configure(self, config: Config) -> None:
        """Take over other limits, for new connections."""
        self._config = config

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self.open.discard(handler)
        self._lost.set()

    async def finish(self, within: float) -> None:
        """Close what is idle, and wait while the rest is answered, so many seconds at most.

        Whoever waits longer is told that nothing will come of it.
        """
        self.leaving = True
        for connection in [*self.open]:
            connection.leave()
        with anyio.move_on_after(within):
            await self._all_lost()
        for connection in [*self.open]:
            connection.give_up()
        with anyio.move_on_after(GIVING_UP):
            await self._all_lost()

    async def _all_lost(self) -> None:
        while self.open:
            self._lost = anyio.Event()
            await self._lost.wait()

    async def sweep(self) -> None:
        """Cut off, again and again, whoever doesn't read its answer."""
        while True:
            await anyio.sleep(self._config.write_timeout)
            for connection in [*self.open]:
                connection.abort_if_stalled()

    async def cut(self) -> None:
        """Close every connection, whatever is on its way."""
        await self.shutdown(0.1)
