"""Lines from a pipe or a file, read without a thread: one that waits for input would hold up the end."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import NamedTuple

import anyio
import anyio.lowlevel

LONGEST = 1_000_000
_CHUNK = 65_536


class Unreadable(NamedTuple):
    """A line that is no text, and why."""

    why: str


async def lines(descriptor: int) -> AsyncIterator[str | Unreadable]:
    """Yield each line without its end, also a last one that has none; over `LONGEST` bytes one is unreadable."""
    buffer, excess = b"", False
    while chunk := await _read(descriptor):
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            yield _line(buffer + part, excess=excess)
            buffer, excess = b"", False
        buffer += rest
        if len(buffer) > LONGEST:
            buffer, excess = b"", True
    if buffer or excess:
        yield _line(buffer, excess=excess)


def _line(raw: bytes, *, excess: bool) -> str | Unreadable:
    if excess or len(raw) > LONGEST:
        return Unreadable(f"that line is too long; {LONGEST:,} bytes are the most")
    try:
        # Windows' editors and shells begin a text with a mark, and end a line with a carriage return.
        return raw.decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError:
        return Unreadable("that isn't UTF-8 text; send UTF-8")


async def _read(descriptor: int) -> bytes:
    try:
        await anyio.wait_readable(descriptor)
    except PermissionError:  # A file, or /dev/null: never waits, and so can't be waited for.
        await anyio.lowlevel.checkpoint()
    return os.read(descriptor, _CHUNK)
