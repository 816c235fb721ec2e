"""Opening the doors, and closing them so that nobody who came in is sent away."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio

from tta_kernel import PluginError

from .config import Listener, Tls
from .connection import Server

BACKLOG = 1024


class Door:
    """A listener that is open."""

    def __init__(self, listener: Listener, socket: socket.socket, context: ssl.SSLContext | None) -> None:
        self.listener = listener
        self._socket = socket
        self._context = context
        self._server: asyncio.Server | None = None
        self._tls: Mapping[str, Any] = {}

    @property
    def address(self) -> str:
        """Where it can be reached, as a URL."""
        scheme = "https" if self._context else "http"
        if self.listener.socket:
            return f"{scheme}+unix://{self.listener.socket}"
        host, port = self._socket.getsockname()[:2]
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    async def open(self, server: Server, handshake_timeout: float) -> None:
        """Take connections from now on; each has so many seconds for its handshake, where it has one."""
        if self._context:
            self._tls = {"ssl": self._context, "ssl_handshake_timeout": handshake_timeout}
        options: Any = {"sock": self._socket, "backlog": BACKLOG, **self._tls}
        if self.listener.socket:
            self._server = await _loop().create_unix_server(server, **options)
        else:
            self._server = await _loop().create_server(server, **options)

    async def close(self, server: Server) -> None:
        """Take no more connections, but for those that the system has accepted in our name."""
        waiting: list[socket.socket] = []
        if self._server is not None:
            # Who waits here believes to be connected, and would be reset as the listener is closed.
            with suppress(OSError):
                while len(waiting) < BACKLOG:
                    waiting.append(self._socket.accept()[0])
            self._server.close()
            self._server = None
        self.release()
        async with anyio.create_task_group() as tasks:
            for each in waiting:
                each.setblocking(False)  # noqa: FBT003 - it takes it so
                tasks.start_soon(self._take, server, each)

    async def _take(self, server: Server, accepted: socket.socket) -> None:
        with suppress(OSError):  # Some have gone, or speak no TLS; that is for nobody to hear.
            await _loop().connect_accepted_socket(server, accepted, **self._tls)

    def release(self) -> None:
        """Give back what was bound."""
        self._socket.close()
        if self.listener.socket:
            self.listener.socket.unlink(missing_ok=True)


def demand_asyncio() -> None:
    """Raise `PluginError` in any other event loop."""
    try:
        _loop()
    except RuntimeError:
        what = "serves on asyncio alone"
        raise PluginError("diagnostics", what, hint="disable it where the host runs on trio") from None


def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()  # noqa: TID251 - aiohttp's protocols are asyncio's


def bind_all(listeners: Sequence[Listener]) -> Sequence[Door]:
    """Bind each listener's socket, so that what keeps one from being opened is told before anything is served."""
    doors: list[Door] = []
    try:
        for number, listener in enumerate(listeners):
            where = f"plugins.diagnostics.config.listeners.{number}"
            context = _context(listener.tls, where) if listener.tls else None
            bound = _bound_file(listener.socket, where) if listener.socket else _bound(listener, where)
            doors.append(Door(listener, bound, context))
    except BaseException:
        for door in doors:
            door.release()
        raise
    return doors


def _bound(listener: Listener, where: str) -> socket.socket:
    try:
        found = socket.getaddrinfo(listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as exc:
        raise PluginError("diagnostics", f"{where}.host: {listener.host!r} is no address of this machine") from exc
    family, kind, protocol, _, address = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        bound.setblocking(False)  # noqa: FBT003 - it takes it so
    except OSError as exc:
        bound.close()
        raise _told(exc, listener, where) from None  # It says all; a server that may fail would log a traceback.
    return bound


def _told(exc: OSError, listener: Listener, where: str) -> PluginError:
    at = f"{listener.host}:{listener.port}"
    if exc.errno == errno.EADDRINUSE:
        hint = f"stop that, or set {where}.port to another one (0: any that is free)"
        return PluginError("diagnostics", f"{at} is in use by another process, such as a second `tta run`", hint=hint)
    if exc.errno == errno.EACCES:
        return PluginError("diagnostics", f"{at} may not be opened by this user", hint=f"set {where}.port above 1023")
    return PluginError("diagnostics", f"{at} can't be opened: {exc.strerror}", hint=f"see {where}")


def _bound_file(path: Path, where: str) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        # Whoever can open the file can ask: its owner, and root.
        before = os.umask(0o177)
        try:
            bound.bind(str(path))
        finally:
            os.umask(before)
        bound.setblocking(False)  # noqa: FBT003 - it takes it so
    except OSError as exc:
        bound.close()
        what = "is in use by another process" if exc.errno == errno.EADDRINUSE else f"can't be made: {exc.strerror}"
        raise PluginError("diagnostics", f"{where}.socket: {path} {what}", hint="choose another path") from None
    return bound


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on; what a killed process leaves behind."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


def _context(tls: Tls, where: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.client_ca:
            context.load_verify_locations(tls.client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ssl.SSLError) as exc:
        what = f"{where}.tls: certificate, key or client_ca can't be used: {type(exc).__name__}"
        raise PluginError("diagnostics", what, hint="they are PEM files that this user can read") from exc
    return context
