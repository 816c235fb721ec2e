"""The signals of the process: who hears them, whatever plugins do to handlers and with forks."""

from __future__ import annotations

import inspect
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, Self

import anyio

from tta_kernel.discovery import Found

from .blame import Owners
from .output import printable

HUP: int | None = getattr(signal, "SIGHUP", None)
"""None on Windows, which has no such signal."""
Handler = Callable[[int, FrameType | None], Any] | int
PAUSE = 1.0
"""Seconds between two looks at who hears the signals."""
log = logging.getLogger("tta.kernel")


class Signals:
    """Delivers the signals of this process as bytes on a socket, ``wake``, and says at once that it is to stop.

    A handler of Python's runs even if the event loop is busy. ``with Signals(stopping):`` in the main thread.
    """

    def __init__(self, stopping: Callable[[], None]) -> None:
        self._stopping = stopping
        self._stopped = False
        self._pid = os.getpid()
        self.wake, self._writer = socket.socketpair()
        self.wake.setblocking(False)  # noqa: FBT003
        self._old: dict[int, Handler] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, HUP):
            if number is not None:
                # None stands for a handler that isn't Python's, which can't be put back.
                old = signal.signal(number, self._hear)
                self._old[number] = signal.SIG_DFL if old is None else old
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self.wake.close()
        self._writer.close()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            # A child that a plugin has forked has this handler, and the socket: what it gets is not for its parent.
            signal.signal(number, self._old[number])
            os.kill(os.getpid(), number)
            return
        if number != HUP:
            if self._stopped:  # A second one: whoever sends it won't wait for order.
                os._exit(128 + number)
            self._stopped = True
            self._stopping()
        self._writer.send(bytes([number]))

    async def keep(self, plugins: Iterable[Found]) -> None:
        """Take the signals back from whatever else has begun to hear them: nothing could stop this process any more."""
        owners = Owners(plugins)
        told = set()
        while True:
            for number in self._old:
                other = signal.getsignal(number)
                if other == self._hear:
                    continue
                signal.signal(number, self._hear)
                if number not in told:
                    told.add(number)
                    name = signal.Signals(number).name
                    log.warning(
                        "%s was taken over by %s, and is heard by the kernel again", name, _named(other, owners)
                    )
            await anyio.sleep(PAUSE)


def _named(handler: object, owners: Owners) -> str:
    """Say whose a handler of a signal is, and where it stands."""
    function = inspect.unwrap(getattr(handler, "__func__", handler)) if callable(handler) else None
    code = getattr(function, "__code__", None)
    if code is None:
        return printable(repr(handler))
    plugin = owners.of(str(getattr(function, "__module__", "")))
    at = printable(f"{code.co_filename}:{code.co_firstlineno} in {code.co_name}")
    return f"plugin {plugin} at {at}" if plugin else f"code of no plugin, at {at}"
