"""How many requests one model works on at once and within a minute, and whose turn is next."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from .errors import LlmError
from .settings import ModelSettings


class _Waiter:
    """A request that waits for its turn."""

    def __init__(self) -> None:
        self.told = anyio.Event()
        self.admitted = False


class Gate:
    """Lets requests to one model in; those that wait take turns by who they are for, so that nobody crowds out others.

    ``clock`` gives seconds, and is never set back.
    """

    def __init__(self, model: str, settings: ModelSettings, clock: Callable[[], float]) -> None:
        self._model, self._settings, self._clock = model, settings, clock
        self.running = 0
        self._waiting: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self._left = float(settings.per_minute or 0)
        """How many requests may begin at once; it fills up within a minute."""
        self._left_at = clock()

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def turn(self, who: str, wait: float) -> AsyncIterator[None]:
        """Wait for a turn for up to ``wait`` seconds, and hold it for the block; else it is ``rate_limited``."""
        await self._enter(who, wait)
        try:
            yield
        finally:
            self.running -= 1
            self._admit()

    async def _enter(self, who: str, wait: float) -> None:
        if not self._waiting and self._is_open():
            self._take()
            return
        waiting = self.waiting
        if waiting >= self._settings.queue:
            raise self._busy(f"{waiting} requests wait for it already")
        waiter = _Waiter()
        self._waiting.setdefault(who, deque()).append(waiter)
        try:
            with anyio.move_on_after(wait):
                while not waiter.admitted:
                    self._admit()
                    with anyio.move_on_after(self._until_next()):
                        await waiter.told.wait()
        except BaseException:
            # Cancelled in the moment in which it was let in.
            if waiter.admitted:
                self.running -= 1
                self._admit()
            raise
        finally:
            if not waiter.admitted:
                self._forget(who, waiter)
        if not waiter.admitted:
            raise self._busy(f"no turn within {wait:g} s")

    def _admit(self) -> None:
        while self._waiting and self._is_open():
            who, theirs = next(iter(self._waiting.items()))
            waiter = theirs.popleft()
            if theirs:
                self._waiting.move_to_end(who)
            else:
                del self._waiting[who]
            self._take()
            waiter.admitted = True
            waiter.told.set()

    def _forget(self, who: str, waiter: _Waiter) -> None:
        theirs = self._waiting[who]
        theirs.remove(waiter)
        if not theirs:
            del self._waiting[who]

    def _is_open(self) -> bool:
        self._fill()
        return self.running < self._settings.concurrent and (self._settings.per_minute is None or self._left >= 1)

    def _take(self) -> None:
        self.running += 1
        self._left -= 1

    def _fill(self) -> None:
        now = self._clock()
        rate = self._settings.per_minute or 0
        self._left = min(float(rate), self._left + (now - self._left_at) * rate / 60)
        self._left_at = now

    def _until_next(self) -> float:
        """Return after how many seconds the minute allows one more; whoever leaves tells otherwise."""
        rate = self._settings.per_minute
        if rate is None or self._left >= 1:
            return math.inf
        return (1 - self._left) * 60 / rate

    def _busy(self, why: str) -> LlmError:
        return LlmError("rate_limited", f"model {self._model} is busy: {why}", reached=False)
