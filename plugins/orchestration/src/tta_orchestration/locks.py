"""A lock for each session of which turns are being admitted here, for as long as there are some."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class Locks:
    """Lets one at a time into a session, in the order in which they came."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[anyio.Lock, int]] = {}
        """By session, with the number of turns that hold it or wait for it."""

    @asynccontextmanager
    async def holding(self, id: str) -> AsyncIterator[None]:
        """Hold a session's lock for as long as the block."""
        lock, users = self._locks.get(id, (anyio.Lock(), 0))
        self._locks[id] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[id]
            if users == 1:
                del self._locks[id]
            else:
                self._locks[id] = (lock, users - 1)
