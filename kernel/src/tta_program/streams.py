"""The standard streams, whatever they are connected to: what is closed, full, slow or left by its reader is told."""

from __future__ import annotations

import io
import os
import select
import sys
from typing import TextIO

from .exits import UNREAD, UNWRITTEN


class OutputLost(OSError):
    """Standard output could not be written, so whoever reads it hasn't got all of it."""


def prepare() -> None:
    """Make the standard streams such that all of the output arrives, or `OutputLost` is raised.

    What the terminal has no letter for is escaped. Standard error, which tells of failures, never makes one itself.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # It takes the lowest number that is free, so that no file or socket of ours becomes a standard stream. It
            # can't be written to, since nobody would see that.
            os.open(os.devnull, os.O_RDONLY)
    # Tests put others in their place, which are left alone.
    if sys.stdin is sys.__stdin__ is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(sys.stdout, _Output(1, required=True))
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(sys.stderr, _Output(2, required=False))


def lost(error: OutputLost) -> int:
    """Say that the output was lost, unless nobody wants it, and return the exit code for that."""
    if isinstance(error.__cause__, BrokenPipeError):
        return UNREAD
    sys.stderr.write(f"tta: standard output cannot be written: {error.strerror}\n")
    return UNWRITTEN


class _Output(io.RawIOBase):
    """Writes all it is given, also where the descriptor doesn't block, or fails for good."""

    def __init__(self, descriptor: int, *, required: bool) -> None:
        self._descriptor, self._required = descriptor, required
        self._lost = False

    def write(self, data: object, /) -> int:
        left = memoryview(data).cast("B")  # type: ignore[arg-type]
        size = len(left)
        while left and not self._lost:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                _wait(self._descriptor)
            except OSError as exc:
                # Else the interpreter would try again when it ends, and complain.
                self._lost = True
                if self._required:
                    raise OutputLost(exc.errno, exc.strerror) from exc
        return size

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True


def _wait(descriptor: int) -> None:
    """Wait until more can be written, or nothing any more."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll()


def _text(old: TextIO | None, output: _Output) -> TextIO:
    errors = getattr(old, "errors", None) or "strict"
    return io.TextIOWrapper(
        io.BufferedWriter(output),
        encoding=getattr(old, "encoding", None) or "utf-8",
        errors="backslashreplace" if errors == "strict" else errors,
        line_buffering=output.isatty() or not output._required,
    )
