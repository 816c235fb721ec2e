"""Writing to a terminal or a pipe that may be stopped, slow or full, without holding up whoever else runs."""

from __future__ import annotations

import os
import stat
import threading
from typing import TextIO

import anyio
import anyio.lowlevel

from tta_program import OutputLost

_MOST = 1_000_000
"""How many bytes may wait to be written before what is less than the story is left out."""


class Output:
    """What goes to ``stream``: `write` never waits, and `drain` waits until all of it is written.

    A terminal stops at Ctrl-S for as long as a person likes, and a pipe for as long as nobody reads it. Any thread may
    write. Raises `OutputLost` where nothing can be written any more.
    """

    def __init__(self, stream: TextIO) -> None:
        self.encoding = stream.encoding or "utf-8"
        self._errors = stream.errors or "backslashreplace"
        self._terminal = stream.isatty()
        self._descriptor = _without_waiting(stream.fileno())
        self._pending = bytearray()
        self._lock = threading.RLock()
        stream.flush()  # What others printed comes first.

    def write(self, text: str) -> int:
        """Write as much as can be written now; the rest waits for `drain`, or for what is written next."""
        with self._lock:
            self._pending += text.encode(self.encoding, self._errors)
            self._go_on()
        return len(text)

    def remark(self, text: str) -> None:
        """Write what may be left out where too much waits already."""
        if len(self._pending) < _MOST:
            self.write(text)

    async def drain(self) -> None:
        """Wait until all is written."""
        while self._pending:
            try:
                await anyio.wait_writable(self._descriptor)
            except PermissionError:  # A file never waits, and so can't be waited for.
                await anyio.lowlevel.checkpoint()
            with self._lock:
                self._go_on()

    def flush(self) -> None:
        """Do nothing, as rich wants it: what can be written now is written."""

    def isatty(self) -> bool:
        return self._terminal

    def fileno(self) -> int:
        return self._descriptor

    def _go_on(self) -> None:
        while self._pending:
            try:
                written = os.write(self._descriptor, self._pending[:65_536])
            except BlockingIOError:
                return
            except OSError as exc:
                self._pending.clear()
                raise OutputLost(exc.errno, exc.strerror) from exc
            del self._pending[:written]


def _without_waiting(descriptor: int) -> int:
    """Open a terminal or a pipe a second time, so as not to wait for it.

    To say of the one that is open already that it doesn't block would say so to all who share it: the shell, too.
    """
    kind = os.fstat(descriptor).st_mode
    try:
        if os.isatty(descriptor):
            return os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        if stat.S_ISFIFO(kind):
            return os.open(f"/dev/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        pass  # It is another user's, or its reader has gone; then it may have to be waited for.
    return descriptor
