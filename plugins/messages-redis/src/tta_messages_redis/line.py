"""What many callers want at once goes out together; what one wants alone doesn't wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

import anyio

from tta_messages import MessagesError

Item = TypeVar("Item")
Result = TypeVar("Result")
Fly = Callable[[Sequence[Sequence[Item]]], Awaitable[Sequence[Sequence[Result]]]]
Spawn = Callable[[Callable[[], Awaitable[None]]], None]

_TOGETHER = 16  # batches in one round trip


class Batch(Generic[Item, Result]):
    """Items of several callers, and in the end a result for each."""

    __slots__ = ("done", "error", "items", "results")

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.results: Sequence[Result] = ()
        self.error: Exception | None = None
        self.done = anyio.Event()

    async def result(self, start: int, count: int) -> Sequence[Result]:
        """Wait, and return ``count`` results from ``start`` on."""
        await self.done.wait()
        if self.error is not None:
            raise MessagesError(str(self.error)) from self.error
        return self.results[start : start + count]


class Line(Generic[Item, Result]):
    """One queue's way to the store.

    While nothing is under way an item leaves at once. Otherwise it joins a batch of up to ``size``,
    which leaves when the answer is there; unless ``patient`` also when it is full, or after ``linger`` seconds.
    """

    def __init__(
        self, fly: Fly[Item, Result], spawn: Spawn, *, size: int, linger: float, patient: bool = False
    ) -> None:
        self._fly, self._spawn, self._size, self._linger, self._patient = fly, spawn, size, linger, patient
        self._batches: deque[Batch[Item, Result]] = deque()
        self._flying = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is on it."""
        return not (self._flying or self._batches)

    async def put(self, items: Sequence[Item]) -> Sequence[Result]:
        """Send items of one caller together, and return their results."""
        if not self.idle:
            return await self.submit(items)
        self._flying += 1
        try:
            (results,) = await self._fly([items])
        finally:
            self._landed()
        return results

    def submit(self, items: Sequence[Item]) -> Awaitable[Sequence[Result]]:
        """Send items, and return what to wait for."""
        batch = self._batches[-1] if self._batches else None
        if batch is None or len(batch.items) + len(items) > self._size:
            batch = Batch()
            self._batches.append(batch)
        start = len(batch.items)
        batch.items.extend(items)
        if not self._flying:
            self._depart()
        elif self._patient:
            pass
        elif len(self._batches[0].items) >= self._size:
            self._depart()
        elif self._timer is None:
            # A timer, since a task for each batch would cost as much as the batch.
            loop = asyncio.get_running_loop()  # noqa: TID251
            self._timer = loop.call_later(self._linger, self._depart)
        return batch.result(start, len(items))

    def _depart(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._batches:
            try:
                self._spawn(self._flight)
            except MessagesError as exc:
                self._fail(self._batches, exc)
                self._batches.clear()
            else:
                self._flying += 1

    def _landed(self) -> None:
        self._flying -= 1
        if not self._flying:
            self._depart()

    async def _flight(self) -> None:
        batches = [self._batches.popleft() for _ in range(min(len(self._batches), _TOGETHER))]
        try:
            if batches:
                found = await self._fly([batch.items for batch in batches])
                for batch, results in zip(batches, found, strict=True):
                    batch.results = results
        except Exception as exc:  # noqa: BLE001  # whoever waits for the batch raises it
            self._fail(batches, exc)
        except BaseException:
            self._fail(batches, MessagesError("the service has ended"))
            raise
        finally:
            for batch in batches:
                batch.done.set()
            self._landed()

    def _fail(self, batches: Iterable[Batch[Item, Result]], error: Exception) -> None:
        for batch in batches:
            batch.error = error
            batch.done.set()
