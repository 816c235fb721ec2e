"""An issuer's keys, from its address or from a file; both block, and so run in a thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, Request, build_opener

import msgspec

from .config import Oidc
from .model import AccessError

LARGEST = 1_000_000
"""Bytes that a set of keys may have."""


class _NoRedirect(HTTPRedirectHandler):
    """Goes where config says, and nowhere else: not to an address inside, and not to one without TLS."""

    def redirect_request(self, *_: Any, **__: Any) -> Request | None:
        return None


class _Cut:
    """Shuts connections as the time is over: a socket's own limit begins anew with each byte that comes."""

    def __init__(self, limit: float) -> None:
        self.late = False
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(limit, self._shut)
        self._timer.daemon = True

    @contextmanager
    def running(self) -> Iterator[None]:
        self._timer.start()
        try:
            yield
        finally:
            self._timer.cancel()

    def watch(self, connected: socket.socket) -> None:
        self._sockets.append(connected)
        if self.late:
            self._shut()

    def _shut(self) -> None:
        self.late = True
        for each in self._sockets:
            with suppress(OSError):  # It may be closed by now.
                each.shutdown(socket.SHUT_RDWR)


class _Http(HTTPHandler):
    def __init__(self, cut: _Cut) -> None:
        super().__init__()
        self._cut = cut

    def http_open(self, request: Request) -> HTTPResponse:
        cut = self._cut

        class Connection(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                cut.watch(self.sock)

        return self.do_open(Connection, request)


class _Https(HTTPSHandler):
    def __init__(self, cut: _Cut) -> None:
        super().__init__()
        self._cut = cut

    def https_open(self, request: Request) -> HTTPResponse:
        cut = self._cut

        class Connection(HTTPSConnection):
            def connect(self) -> None:
                super().connect()  # Its handshake as a whole is under the socket's limit.
                cut.watch(self.sock)

        return self.do_open(Connection, request)


def fetch(config: Oidc) -> Mapping[str, Any]:
    """Get the keys by HTTPS, within the time that config has for it."""
    request = Request(config.jwks_url, headers={"Accept": "application/json"})  # noqa: S310 - `Oidc` looks at the scheme
    cut = _Cut(config.timeout)
    opener = build_opener(_NoRedirect, _Http(cut), _Https(cut))
    try:
        with cut.running(), opener.open(request, timeout=config.timeout) as answer:
            data = answer.read(LARGEST + 1)
    except HTTPError as exc:
        exc.close()  # It is an answer, too.
        raise AccessError(f"the issuer's keys can't be fetched: it answers {exc.code}") from None
    except (OSError, ValueError, HTTPException) as exc:
        why = TimeoutError if cut.late else type(exc)
        raise AccessError(f"the issuer's keys can't be fetched: {why.__name__}") from exc
    if cut.late:
        raise AccessError("the issuer's keys can't be fetched: TimeoutError")
    return _decoded(data)


def read(config: Oidc) -> Mapping[str, Any]:
    """Read the keys from a file."""
    assert config.jwks_file is not None
    try:
        with config.jwks_file.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as exc:
        raise AccessError(f"{config.jwks_file}: {exc.strerror}") from exc
    return _decoded(data)


def _decoded(data: bytes) -> Mapping[str, Any]:
    if len(data) > LARGEST:
        raise AccessError(f"the issuer's keys have more than {LARGEST} bytes")
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as exc:
        raise AccessError("the issuer's keys are no JSON object") from exc
