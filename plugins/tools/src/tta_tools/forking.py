"""The process from which those of isolated tools are forked: started once, when the first is called."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import anyio
import msgspec

from .model import NotCalled

_ENDING = 5.0
"""Seconds that a process has to end once nobody listens to it any more."""


class ForkServer:
    """Hands each request to a supervisor of its own."""

    def __init__(self, environment: Iterable[str]) -> None:
        self._environment = tuple(environment)
        self._starting = anyio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    async def ask(self, request: Mapping[str, Any], heard: Callable[[bytes], None], limit: int) -> None:
        """Have a request seen to; ``heard`` is told each line of the answer, of up to ``limit`` bytes in all.

        When it returns, or is cancelled, nothing of it runs any more.
        """
        control = await self._started()
        ours, theirs = socket.socketpair()
        with ours:
            ours.settimeout(0)
            with theirs:
                try:
                    socket.send_fds(control, [b"+"], [theirs.fileno()])
                except BlockingIOError:
                    raise NotCalled("busy", "isolation: more processes are asked for than can be forked") from None
                except OSError:
                    what = "isolation: the server that forks processes for tools has ended; the next call starts one"
                    raise NotCalled("unavailable", what) from None
            try:
                await _send(ours, msgspec.json.encode(request) + b"\n")
                await _hear(ours, heard, limit)
            finally:
                await _end(ours)

    async def aclose(self) -> None:
        """End it: it sees that nobody listens. A supervisor ends with its own call."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            process, self._process = self._process, None
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_wait, process)

    async def _started(self) -> socket.socket:
        async with self._starting:
            if self._process is not None and self._process.poll() is not None:
                await self.aclose()
            if self._control is None:
                await anyio.to_thread.run_sync(self._start)
            assert self._control is not None
            return self._control

    def _start(self) -> None:
        if sys.platform != "linux" or not sys.executable:
            raise NotCalled("unavailable", "isolation: processes can be held on Linux only, by a Python of its own")
        variables = {name: value for name in self._environment if (value := os.environ.get(name)) is not None}
        ours, theirs = socket.socketpair()
        ours.settimeout(0)
        with theirs:
            # Nothing of this process goes along: -I leaves out its variables and its folder, a session its terminal.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", "tta_tools.isolation"], stdin=theirs.fileno(), stdout=subprocess.DEVNULL,
                cwd="/", env=variables, start_new_session=True,
            )  # fmt: skip
        self._control = ours


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_ENDING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def _send(ours: socket.socket, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[ours.send(view) :]
        except BlockingIOError:
            await anyio.wait_writable(ours)
        except OSError:
            # Whoever reads has ended early, and its answer says why, or is missing.
            return


async def _hear(ours: socket.socket, heard: Callable[[bytes], None], limit: int) -> None:
    kept = b""
    while True:
        try:
            piece = ours.recv(1 << 16)
        except BlockingIOError:
            await anyio.wait_readable(ours)
            continue
        except OSError:
            return
        limit -= len(piece)
        if not piece or limit < 0:
            return
        *lines, kept = (kept + piece).split(b"\n")
        for line in lines:
            heard(line)


async def _end(ours: socket.socket) -> None:
    """Say that nobody listens any more, and wait until the other side has heard."""
    with contextlib.suppress(OSError):
        ours.shutdown(socket.SHUT_WR)
    with anyio.CancelScope(shield=True), anyio.move_on_after(_ENDING):
        await _hear(ours, lambda _: None, 1 << 40)
