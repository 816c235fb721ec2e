"""Batching of concurrent calls: what many want at once goes out together; what one wants alone doesn't wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from tta_messages import MessagesError

Item = TypeVar("Item")
Result = TypeVar("Result")
Flush = Callable[[Sequence[Sequence[Item]]], Awaitable[Sequence[Sequence[Result]]]]
Spawn = Callable[[Callable[[], Awaitable[None]]], None]

_TOGETHER, _ITEMS = 16, 128
"""In one round trip: so many batches, or more as long as there are no more items than that."""


class _Batch(Generic[Item, Result]):
    """Items of several callers, and who waits for which of the results."""

    __slots__ = ("items", "waiters")

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.waiters: list[tuple[asyncio.Future[Sequence[Result]], int, int]] = []

    def done(self, results: Sequence[Result]) -> None:
        """Give each caller its own."""
        for future, start, count in self.waiters:
            if not future.done():  # Otherwise the caller has gone.
                future.set_result(results[start : start + count])

    def fail(self, error: Exception) -> None:
        """Tell all callers why there are no results, each by an exception of its own."""
        for future, _, _ in self.waiters:
            if not future.done():
                own = MessagesError(str(error))
                own.__cause__ = error
                future.set_exception(own)
                future.exception()  # Whoever waits for several parts may have heard of another first.


class Batcher(Generic[Item, Result]):
    """One queue's way to the store.

    While nothing is in flight an item is flushed at once. Otherwise it joins a batch of up to ``size``, which is
    flushed when the answer is there; unless ``patient`` also when it is full, or after ``linger`` seconds. Up to 16
    batches, or as many as have 128 items, share a round trip.
    """

    def __init__(
        self, flush: Flush[Item, Result], spawn: Spawn, *, size: int, linger: float, patient: bool = False
    ) -> None:
        self._flush, self._spawn = flush, spawn
        self._size, self._linger, self._patient = size, linger, patient
        self._batches: deque[_Batch[Item, Result]] = deque()
        self._in_flight = 0
        """How many flushes are under way."""
        self._starting = False
        """Whether one of them has no batches yet: what comes meanwhile still joins them."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting or in flight."""
        return not (self._in_flight or self._batches)

    async def put(self, items: Sequence[Item]) -> Sequence[Result]:
        """Send items of one caller together, and return their results."""
        if not self.idle:
            return await self.submit(items)
        self._in_flight += 1
        try:
            (results,) = await self._flush([items])
        finally:
            self._ended()
        return results

    def submit(self, items: Sequence[Item]) -> Awaitable[Sequence[Result]]:
        """Let items join a batch, and return what to wait for."""
        batch = self._batches[-1] if self._batches else None
        if batch is None or len(batch.items) + len(items) > self._size:
            batch = _Batch()
            self._batches.append(batch)
        loop = asyncio.get_running_loop()  # noqa: TID251
        future: asyncio.Future[Sequence[Result]] = loop.create_future()
        batch.waiters.append((future, len(batch.items), len(items)))
        batch.items.extend(items)
        if not self._in_flight:
            self._start()
        elif self._patient or self._starting:
            pass
        elif len(self._batches[0].items) >= self._size:
            self._start()
        elif self._timer is None:
            # A timer, since a task for each batch would cost as much as the batch.
            self._timer = loop.call_later(self._linger, self._start)
        return future

    def _go_on(self) -> None:
        """See to what found no room in the flush that has just begun."""
        if self._batches and not self._patient:
            if len(self._batches[0].items) >= self._size:
                self._start()
            else:
                self._timer = asyncio.get_running_loop().call_later(self._linger, self._start)  # noqa: TID251

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._batches and not self._starting:
            try:
                self._spawn(self._run_flush)
            except MessagesError as exc:
                self._fail(self._batches, exc)
                self._batches.clear()
            else:
                self._in_flight += 1
                self._starting = True

    def _ended(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._start()

    def _take(self) -> list[_Batch[Item, Result]]:
        """Take the batches of one flush; those for which it has no room take the next one."""
        self._starting = False
        batches: list[_Batch[Item, Result]] = []
        items = 0
        while self._batches and (len(batches) < _TOGETHER or items + len(self._batches[0].items) <= _ITEMS):
            batches.append(self._batches.popleft())
            items += len(batches[-1].items)
        self._go_on()
        return batches

    async def _run_flush(self) -> None:
        batches: Sequence[_Batch[Item, Result]] = ()
        try:
            if batches := self._take():
                found = await self._flush([batch.items for batch in batches])
                for batch, results in zip(batches, found, strict=True):
                    batch.done(results)
        except Exception as exc:  # noqa: BLE001  # whoever waits for the batch raises it
            self._fail(batches, exc)
        except BaseException:
            self._fail(batches, MessagesError("the service has ended"))
            raise
        finally:
            self._ended()

    def _fail(self, batches: Iterable[_Batch[Item, Result]], error: Exception) -> None:
        for batch in batches:
            batch.fail(error)
