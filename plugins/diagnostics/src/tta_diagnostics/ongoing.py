"""Answers that go on: streams and sockets."""

from __future__ import annotations

import logging
from typing import Any

import anyio
from aiohttp import WSCloseCode, WSMsgType, web

from tta_http import BAD_REQUEST, LATE, UNAVAILABLE, HttpProblem, Socket, Upgrade
from tta_http.table import Match
from tta_kernel import as_failure, raised_at

from .config import Config
from .connection import connection_of
from .guard import failed, named
from .replies import HEADERS

log = logging.getLogger("tta.diagnostics")


_END = object()
_STOPPING = "it is stopping"


class BrokenOff(Exception):
    """An answer that had begun, and that its handler has failed to bring to an end."""

    def __init__(self, answer: web.StreamResponse) -> None:
        super().__init__("it broke off")
        self.answer = answer


async def stream(
    request: web.BaseRequest, match: Match, arguments: tuple[Any, ...], kind: str, config: Config
) -> web.StreamResponse:
    """Send what a handler's iterator gives, piece by piece; before the first piece what goes wrong is a problem."""
    answer = web.StreamResponse(headers={**HEADERS, "Content-Type": kind})
    answer.force_close()
    pieces = None
    try:
        with anyio.CancelScope() as while_connected:
            connection_of(request).on_lost(while_connected.cancel)
            pieces = match.route.handler(*arguments)
            while True:
                piece = await _next(match, pieces, first=not answer.prepared)
                if not answer.prepared:
                    await answer.prepare(request)
                if piece is _END or not await _sent(answer, piece, config):
                    break
        if not answer.prepared and request.transport is not None:  # Nobody has gone: it stops.
            raise UNAVAILABLE(_STOPPING, headers={"Retry-After": "1"})
    except BaseException as exc:
        failure = as_failure(exc)
        if not answer.prepared:
            if isinstance(failure, HttpProblem):
                raise
            raise failed(match, f"raised {type(failure).__name__} at {raised_at(failure)}") from failure
        # It can't become a problem by now; the connection that breaks off says so.
        log.error("%s: raised %s at %s", named(match), type(failure).__name__, raised_at(failure))  # noqa: TRY400
        request.protocol.force_close()
        raise BrokenOff(answer) from None
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await _closed(close, match)
    return answer


async def _next(match: Match, pieces: Any, *, first: bool) -> Any:
    """Return the next piece; only the first has a time limit, since later ones come when something happens."""
    with anyio.move_on_after(match.route.timeout if first else None) as limit:
        piece = await anext(pieces, _END)
    if limit.cancel_called:  # even where a piece came, too late
        raise LATE(f"plugin {match.plugin!r} took longer than {match.route.timeout:g} s")
    if piece is not _END and not isinstance(piece, bytes):
        raise failed(match, f"gave {type(piece).__name__}")
    return piece


async def _sent(answer: web.StreamResponse, piece: bytes, config: Config) -> bool:
    """Send a piece; False where nobody reads it any more."""
    try:
        with anyio.fail_after(config.write_timeout):
            await answer.write(piece)
    except (ConnectionError, TimeoutError):
        return False
    return True


async def _closed(close: Any, match: Match) -> None:
    try:
        with anyio.move_on_after(match.route.timeout, shield=True):
            await close()
    except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
        log.error("%s: raised %s as it was closed", named(match), type(as_failure(exc)).__name__)  # noqa: TRY400


class WebSocket(Socket):
    """The socket of a handler, on aiohttp's."""

    def __init__(self, inner: web.WebSocketResponse) -> None:
        self._inner = inner
        self.protocol = inner.ws_protocol or ""

    async def receive(self) -> str | bytes | None:
        message = await self._inner.receive()
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            data: str | bytes = message.data
            return data
        return None

    async def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            await self._inner.send_str(message)
        else:
            await self._inner.send_bytes(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._inner.close(code=code, message=reason.encode()[:123])


async def converse(
    request: web.BaseRequest, match: Match, arguments: tuple[Any, ...], form: Upgrade
) -> web.StreamResponse:
    """Let a handler talk over a WebSocket, and say goodbye when it is done."""
    inner = web.WebSocketResponse(
        protocols=form.protocols, max_msg_size=form.longest, compress=False, heartbeat=15.0, timeout=2.0
    )
    if not inner.can_prepare(request):
        raise BAD_REQUEST("this is a WebSocket", headers={"Upgrade": "websocket"})
    connection = connection_of(request)
    await inner.prepare(request)
    code: int = WSCloseCode.OK
    try:
        with anyio.CancelScope() as while_connected:
            connection.on_lost(while_connected.cancel)
            await match.route.handler(*arguments, WebSocket(inner))
        if while_connected.cancel_called:
            code = WSCloseCode.GOING_AWAY
    except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
        failure = as_failure(exc)
        code = WSCloseCode.INTERNAL_ERROR
        log.error("%s: raised %s at %s", named(match), type(failure).__name__, raised_at(failure))  # noqa: TRY400
    await inner.close(code=code)
    if code == WSCloseCode.INTERNAL_ERROR:
        raise BrokenOff(inner)
    return inner
