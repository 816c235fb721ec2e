"""Keys with a time each: which are due, and when is the next?"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count
from math import inf


class Timers:
    """A heap whose entries may be moved and dropped; those that are outdated are cleared away in time."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str]] = []
        self._live: dict[str, tuple[float, int]] = {}
        self._count = count()

    def __len__(self) -> int:
        return len(self._live)

    def set(self, key: str, at: float) -> None:
        """Let ``key`` be due at ``at``, and no other time."""
        self._live[key] = entry = (at, next(self._count))
        heapq.heappush(self._heap, (*entry, key))
        if len(self._heap) > 2 * len(self._live) + 64:
            self._heap = [(at, n, key) for key, (at, n) in self._live.items()]
            heapq.heapify(self._heap)

    def drop(self, key: str) -> None:
        """Forget ``key``."""
        self._live.pop(key, None)

    def clear(self) -> None:
        """Forget all keys."""
        self._heap, self._live = [], {}

    def next(self) -> float:
        """Return the earliest time, or infinity."""
        heap = self._heap
        while heap and self._live.get(heap[0][2]) != heap[0][:2]:
            heapq.heappop(heap)
        return heap[0][0] if heap else inf

    def due(self, now: float) -> Iterator[str]:
        """Yield, and forget, what is due by ``now``, the earliest first."""
        while self.next() <= now:
            key = heapq.heappop(self._heap)[2]
            del self._live[key]
            yield key
