"""The time by which runs wait: the system's, unless a test hands in its own."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from math import inf
from typing import Never, Protocol

import anyio


class Clock(Protocol):
    """Tells the time in seconds since the epoch, and waits for one."""

    def time(self) -> float:
        """Return what time it is."""

    async def sleep_until(self, time: float) -> None:
        """Return once it is that late."""


class SystemClock:
    """The clock of this machine."""

    def time(self) -> float:
        return time.time()

    async def sleep_until(self, due: float) -> None:
        # In parts, since nobody is told that the system's clock was set.
        while (left := due - time.time()) > 0:  # noqa: ASYNC110 - time is what it waits for
            await anyio.sleep(min(left, 60.0))


class Alarms:
    """Calls functions when their time has come: one task for all of them, and no timer each."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: list[tuple[float, int]] = []
        self._calls: dict[int, Callable[[], None]] = {}
        """What is to be called, by the numbers in ``_due``; what was cancelled isn't kept."""
        self._numbers = itertools.count()
        self._next = inf
        self._earlier = anyio.Event()

    def set(self, due: float, call: Callable[[], None]) -> int:
        """Have ``call`` called at that time; return what `cancel` takes."""
        number = next(self._numbers)
        self._calls[number] = call
        heapq.heappush(self._due, (due, number))
        if due < self._next:
            self._earlier.set()
        return number

    def cancel(self, number: int) -> None:
        """Don't call it, if its time hasn't come yet."""
        self._calls.pop(number, None)
        if len(self._due) > 64 + 2 * len(self._calls):
            self._due = [each for each in self._due if each[1] in self._calls]
            heapq.heapify(self._due)

    async def run(self) -> Never:
        """Call what is due, until cancelled."""
        while True:
            self._call_due(self._clock.time())
            self._next = self._due[0][0] if self._due else inf
            self._earlier = anyio.Event()
            if self._due:
                await self._sleep(self._next)
            else:
                await self._earlier.wait()

    def _call_due(self, now: float) -> None:
        # Not in `run`, which would keep the last call, and the run that it is of, for as long as it sleeps.
        # Also what was cancelled and is first: it is nothing to wake up for.
        while self._due and (self._due[0][0] <= now or self._due[0][1] not in self._calls):
            _, number = heapq.heappop(self._due)
            if (call := self._calls.pop(number, None)) is not None:
                call()

    async def _sleep(self, until: float) -> None:
        """Sleep until a time, or until something is due before it."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._wake, tasks.cancel_scope)
            await self._clock.sleep_until(until)
            tasks.cancel_scope.cancel()

    async def _wake(self, scope: anyio.CancelScope) -> None:
        await self._earlier.wait()
        scope.cancel()
