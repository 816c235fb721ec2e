"""A look at all unfinished runs, some at a time: each call goes on where the one before it stopped."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence


class Walk:
    """Goes through the parts that ``parts`` yields, every so many seconds, or as soon as leases are over.

    At its end ``ended`` is told of these leases: all that they held has been looked at.
    """

    def __init__(
        self, parts: Callable[[], AsyncIterator[Sequence[str]]], ended: Callable[[Sequence[bytes]], Awaitable[None]],
        *, every: float,
    ) -> None:  # fmt: skip
        self._begin, self._ended, self._every = parts, ended, every
        self._parts: AsyncIterator[Sequence[str]] | None = None
        self._unlooked: deque[str] = deque()
        self._over: Sequence[bytes] = ()
        self._ended_at = float("-inf")

    def begin(self, over: Sequence[bytes]) -> None:
        """Begin, where there is a reason to and it isn't on its way; ``over`` are leases."""
        if self._parts is None and (over or time.monotonic() - self._ended_at >= self._every):
            self._parts, self._over = self._begin(), over

    async def next(self, most: int) -> Sequence[str]:
        """Return up to ``most`` runs; none at the end."""
        if self._parts is None:
            return ()
        if not self._unlooked:
            part = await anext(self._parts, None)
            if part is None:
                self._parts, self._ended_at = None, time.monotonic()
                await self._ended(self._over)
                return ()
            self._unlooked.extend(part)
        return [self._unlooked.popleft() for _ in range(min(len(self._unlooked), most))]

    def abandon(self) -> None:
        """Look at all of them again, the next time; after an error nobody knows which of them were looked at."""
        self._parts = None
        self._unlooked.clear()
