"""Give every message of a queue to a handler, and settle it by how that went."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Never

import anyio

from tta_kernel import as_failure, check_count, check_duration, correlation_id, raised_at
from tta_kernel.isolation import is_interrupt

from .leases import SETTLE_TIMEOUT, LeaseCounts, LeaseKeeper
from .model import MANY, Delivery, Messages, MessagesError
from .prepare import check_receive

log = logging.getLogger("tta.messages")
_SLACK = 1.05
"""How much longer than its limit a handler may take: so the deadline need not be moved for each message."""
_ACK_AFTER = 0.02
"""How long, in seconds, what is done waits for the next receive to acknowledge it, where that may be under way."""


class Reject(Exception):
    """Raised by a handler: no other attempt can help, so the message is dead, for ``reason``.

    The reason is kept and shown: never put there what a person wrote.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Consumed(LeaseCounts):
    """What a consumer has done so far, for metrics: messages, and seconds within handlers."""

    done: int = 0
    failed: int = 0
    rejected: int = 0
    timed_out: int = 0
    seconds: float = 0.0


async def consume(
    messages: Messages,
    queue: str,
    handler: Callable[[Delivery], Awaitable[None]],
    *,
    limit: int = 10,
    concurrency: int = 1,
    time_limit: float = 30.0,
    visibility: float | None = None,
    wait: float = 5.0,
    grace: float = 5.0,
    consumed: Consumed | None = None,
    clock: Callable[[], float] = monotonic,
) -> Never:
    """Handle messages until cancelled: one after the other, or ``concurrency`` at a time, in no order then.

    A handler that returns is done with its message, and the next receive (of up to ``limit``) says so.
    One that raises has failed, as has one that exits or is cancelled by nobody here: the exception's type is
    the error, never its text. After `Reject` the message is dead, and one that takes longer than
    ``time_limit`` seconds (at most a twentieth more) is cancelled, with the error ``timeout``. Holds are
    extended meanwhile. When cancelled, what runs has ``grace`` seconds to end, and all else is released. A
    store that can't be reached is tried again, ever later. ``clock`` gives seconds, and is never set back.
    """

    async def handle(unit: Sequence[Delivery]) -> None:
        await handler(unit[0])

    consumer = _Consumer(
        messages, queue, handle, concurrency=concurrency, visibility=visibility, time_limit=time_limit, grace=grace,
        consumed=consumed, clock=clock,
    )  # fmt: skip
    await consumer.run(limit, wait, one_by_one=True)


async def consume_batches(
    messages: Messages,
    queue: str,
    handler: Callable[[Sequence[Delivery]], Awaitable[None]],
    *,
    limit: int = 100,
    time_limit: float = 30.0,
    visibility: float | None = None,
    wait: float = 5.0,
    grace: float = 5.0,
    consumed: Consumed | None = None,
    clock: Callable[[], float] = monotonic,
) -> Never:
    """Handle messages by up to ``limit`` at once, until cancelled; they succeed or fail together.

    What `consume` says of one message holds for all that are handled at once.
    """
    consumer = _Consumer(
        messages, queue, handler, concurrency=1, visibility=visibility, time_limit=time_limit, grace=grace,
        consumed=consumed, clock=clock,
    )  # fmt: skip
    await consumer.run(limit, wait, one_by_one=False)


class _Worker:
    """Does one unit after the other; ``scope`` is around what it does right now.

    ``spare`` will be around what comes next: to make it takes a while, and is done before anything waits.
    """

    def __init__(self) -> None:
        self.scope: anyio.CancelScope | None = None
        self.spare = anyio.CancelScope(shield=True)
        self.unit: Sequence[Delivery] = ()


class _Consumer:
    def __init__(
        self,
        messages: Messages,
        queue: str,
        handle: Callable[[Sequence[Delivery]], Awaitable[None]],
        *,
        concurrency: int,
        visibility: float | None,
        time_limit: float,
        grace: float,
        consumed: Consumed | None,
        clock: Callable[[], float],
    ) -> None:
        check_count("concurrency", concurrency, most=MANY)
        check_duration("time_limit", time_limit, positive=True)
        check_duration("grace", grace)
        self._name, self._handle, self._visibility = queue, handle, visibility
        self._time_limit, self._grace, self._clock = time_limit, grace, clock
        self._consumed = consumed or Consumed()
        self._leases = LeaseKeeper(
            messages, queue, visibility=visibility, counts=self._consumed, clock=clock,
            # One worker is soon back at the store, and acknowledges whole what it held together: that costs least.
            ack_after=_ACK_AFTER if concurrency > 1 else None,
        )  # fmt: skip
        self._workers = [_Worker() for _ in range(concurrency)]
        self._todo: deque[Sequence[Delivery]] = deque()
        self._stopping = False
        self._interrupt: BaseException | None = None
        self._changed = anyio.Event()

    async def run(self, limit: int, wait: float, *, one_by_one: bool) -> Never:
        check_receive(self._name, limit, wait, self._visibility)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._leases.run)
                tasks.start_soon(self._stop_when_cancelled)
                if len(self._workers) == 1:
                    await self._feed(limit, wait, one_by_one=one_by_one)
                else:
                    for worker in self._workers:
                        tasks.start_soon(self._work_on, worker, tasks.cancel_scope)
                    await self._feed_many(limit, wait)
        finally:
            await self._close()
        raise self._interrupt or AssertionError("a feed ends only by an exception")

    async def _stop_when_cancelled(self) -> None:
        """Let handlers, which are shielded, have their grace."""
        try:
            await anyio.sleep_forever()
        finally:
            self._stopping = True
            for scope in (worker.scope for worker in self._workers):
                if scope is not None:
                    scope.deadline = min(scope.deadline, anyio.current_time() + self._grace)

    async def _close(self) -> None:
        with anyio.move_on_after(SETTLE_TIMEOUT, shield=True):
            try:
                await self._leases.close()
            except MessagesError as exc:
                log.warning(
                    "queue %s was not told that its consumer ends, and its holds will run out: %s", self._name, exc
                )

    # Receiving

    async def _feed(self, limit: int, wait: float, *, one_by_one: bool) -> None:
        while True:
            held = await self._leases.receive(limit=limit, wait=wait)
            self._todo.extend([[delivery] for delivery in held] if one_by_one else [held] if held else [])
            while self._todo and not self._stopping:
                await self._work(self._workers[0])
            if self._stopping:
                await anyio.sleep_forever()  # It is cancelled already.

    async def _feed_many(self, limit: int, wait: float) -> None:
        while True:
            while not (free := sum(not worker.unit for worker in self._workers) - len(self._todo)) > 0:
                await self._changed.wait()
            held = await self._leases.receive(limit=min(limit, free), wait=wait)
            suspect = bool(held) and held[0].suspect
            if suspect:  # Should it kill us, too, nothing else pays with an attempt.
                await self._until_idle()
            self._todo.extend([delivery] for delivery in held)
            self._notify()
            if suspect:
                await self._until_idle()

    async def _until_idle(self) -> None:
        while self._todo or any(worker.unit for worker in self._workers):
            await self._changed.wait()

    def _notify(self) -> None:
        """Let everybody look again."""
        self._changed.set()
        self._changed = anyio.Event()

    # Working

    async def _work_on(self, worker: _Worker, all: anyio.CancelScope) -> None:
        try:
            while True:
                while not self._todo:
                    await self._changed.wait()
                await self._work(worker)
                if self._stopping:
                    await anyio.sleep_forever()
        except BaseException as exc:
            if not is_interrupt(exc):
                raise
            # From this task asyncio would let it out of the event loop, past everybody who has something to close.
            self._interrupt = exc
            all.cancel()

    async def _work(self, worker: _Worker) -> None:
        """Do what is there, until there is no more, or a scope is spent on a time-out."""
        consumed, leases, clock = self._consumed, self._leases, self._clock
        now, lasts = clock(), self._time_limit * _SLACK
        until, scope = now + lasts, worker.spare
        scope.deadline = anyio.current_time() + lasts
        # Shielded, because a cancelled consumer lets what runs have its grace: `_stop_when_cancelled` sees to that.
        with scope:
            worker.scope = scope
            while self._todo and not self._stopping:
                worker.unit = unit = self._todo.popleft()
                if not leases.holds(unit[0], now):
                    await self._give_up_lost(unit)
                    worker.unit, now = (), clock()
                    continue
                if until < now + self._time_limit:  # Moving it for every message would cost a third of all this.
                    until = now + lasts
                    scope.deadline = anyio.current_time() + lasts
                correlation_id.set(unit[0].message.correlation_id)
                error: BaseException | None = None
                try:
                    await self._handle(unit)
                except BaseException as exc:  # noqa: BLE001 - a stranger's code; its text may be a person's
                    as_failure(exc)  # It goes on where somebody of ours asked for it.
                    error = exc
                start, now = now, clock()
                consumed.seconds += now - start
                if error is None:
                    leases.done(unit)
                    consumed.done += len(unit)
                else:
                    await self._fail(unit, error)
                    now = clock()
                worker.unit = ()
                if len(self._workers) > 1:
                    self._notify()
                if scope.cancel_called:
                    break  # Ended at the very moment its time was over: the next one needs a new scope.
        worker.scope, worker.spare = None, anyio.CancelScope(shield=True)
        if worker.unit:
            unit, worker.unit = worker.unit, ()
            consumed.seconds += clock() - now
            if not self._stopping:  # Then it is still held, and released with the others.
                consumed.timed_out += len(unit)
                log.warning("a handler of queue %s took longer than %g s", self._name, self._time_limit)
                await leases.fail(unit, "timeout")
            self._notify()

    async def _fail(self, unit: Sequence[Delivery], error: BaseException) -> None:
        if isinstance(error, Reject):
            self._consumed.rejected += len(unit)
            await self._leases.fail(unit, error.reason, permanent=True)
            return
        self._consumed.failed += len(unit)
        what = type(error).__name__
        log.warning("a handler of queue %s raised %s at %s", self._name, what, raised_at(error))
        await self._leases.fail(unit, what)

    async def _give_up_lost(self, unit: Sequence[Delivery]) -> None:
        """Give back what was held too long before it began, as when a process was stopped: others may have it."""
        now, lost, kept = self._clock(), [*unit], deque[Sequence[Delivery]]()
        for each in self._todo:
            if self._leases.holds(each[0], now):
                kept.append(each)
            else:
                lost += each
        self._todo = kept
        await self._leases.release(lost)
