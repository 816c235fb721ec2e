"""The reference implementation of the store, in memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import anyio

from .model import Record, Records, Swap


class MemoryBreakerStore:
    """Keeps at most ``limit`` breakers; of the others those that changed last go last."""

    def __init__(self, clock: Callable[[], float] = time.time, *, limit: int = 10_000) -> None:
        self._clock, self._limit = clock, limit
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._news: dict[str, Record] = {}
        self._filled = anyio.Event()

    async def read(self) -> Records:
        return Records(self._clock(), dict(self._records))

    async def swap(self, swaps: Sequence[Swap]) -> Records:
        found: dict[str, Record] = {}
        for swap in swaps:
            record = self._records.get(swap.name, Record())
            if record.stamp == swap.expected:
                record = self._records[swap.name] = self._news[swap.name] = swap.record
                self._records.move_to_end(swap.name)
                self._filled.set()
            found[swap.name] = record
        while len(self._records) > self._limit:
            self._records.popitem(last=False)
        return Records(self._clock(), found)

    async def news(self, *, wait: float) -> Mapping[str, Record] | None:
        if not self._news:
            self._filled = anyio.Event()
            with anyio.move_on_after(wait):
                await self._filled.wait()
        news, self._news = self._news, {}
        return news
