"""The standard streams, whatever they are connected to: what is closed, full, slow or left by its reader is told."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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


class Diversion:
    """What `diverted` gives: ``output``, the stream to which the output still goes, and a way back for a while."""

    def __init__(self, output: TextIO, standard: _Output | None) -> None:
        self.output = output
        self._standard = standard
        self._lost = False

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Let standard output be what it was before, as for a command that prints."""
        self._turn_back()
        try:
            yield
        finally:
            self._turn_away()

    def _turn_away(self) -> None:
        if self._standard is None:
            return
        try:
            sys.stdout.flush()
        finally:
            os.dup2(2, 1)
            self._lost = self._standard.lost
            self._standard.required = self._standard.lost = False

    def _turn_back(self) -> None:
        if self._standard is None:
            return
        sys.stdout.flush()
        os.dup2(self.output.fileno(), 1)
        self._standard.required, self._standard.lost = True, self._lost


@contextmanager
def diverted() -> Iterator[Diversion]:
    """Send to standard error whatever plugins, their libraries and child processes print meanwhile.

    Standard output is for what was asked for, which may be JSON. The descriptor is turned, so that it doesn't matter
    how something prints.
    """
    standard = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(standard, _Output):
        # It is a test's, or a host's.
        yield Diversion(sys.stdout, None)
        return
    kept = _Output(os.dup(1), required=True)
    with _text(sys.stdout, kept) as output:
        diversion = Diversion(output, standard)
        diversion._turn_away()
        try:
            yield diversion
        finally:
            diversion._turn_back()
            output.flush()
            os.close(kept.fileno())


@contextmanager
def kept() -> Iterator[None]:
    """Put the standard streams back afterwards, whatever a plugin's import has put in their place."""
    streams = sys.stdin, sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams


def lost(error: OutputLost) -> int:
    """Say that the output was lost, unless nobody wants it, and return the exit code for that."""
    if isinstance(error.__cause__, BrokenPipeError):
        return UNREAD
    sys.stderr.write(f"tta: standard output cannot be written: {error.strerror}\n")
    return UNWRITTEN


class _Output(io.RawIOBase):
    """Writes all it is given, also where the descriptor doesn't block, or fails for good."""

    def __init__(self, descriptor: int, *, required: bool) -> None:
        self._descriptor, self.required = descriptor, required
        self.lost = False

    def write(self, data: object, /) -> int:
        left = memoryview(data).cast("B")  # type: ignore[arg-type]
        size = len(left)
        while left and not self.lost:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                _wait(self._descriptor)
            except OSError as exc:
                # Else the interpreter would try again when it ends, and complain.
                self.lost = True
                if self.required:
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
        line_buffering=output.isatty() or not output.required,
    )
