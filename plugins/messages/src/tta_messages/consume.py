"""Give every message of a queue to a handler, and settle it by how that went."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from time import monotonic
from typing import Never

import anyio
import msgspec

from tta_kernel import correlation_id, raised_at

from .model import Delivery, Messages, MessagesError
from .prepare import check_receive

log = logging.getLogger("tta.messages")
_SETTLE = 5.0  # seconds for giving back, so that a store that is gone can't keep anybody from stopping
_LONGEST_PAUSE = 5.0
_SLACK = 1.05


class Reject(Exception):
    """Raised by a handler: no other attempt can help, so the message is dead, for ``reason``.

    The reason is kept and shown: never put there what a person wrote.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Consumed(msgspec.Struct):
    """What a consumer has done so far, for metrics: messages, and seconds within handlers.

    ``lost`` were held no longer when that was found out; ``outages``: how often the store couldn't be reached.
    """

    received: int = 0
    done: int = 0
    failed: int = 0
    rejected: int = 0
    timed_out: int = 0
    released: int = 0
    lost: int = 0
    outages: int = 0
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
) -> Never:
    """Handle messages until cancelled: one after the other, or ``concurrency`` at a time, in no order then.

    A handler that returns is done with its message, and the next receive (of up to ``limit``) says so.
    One that raises has failed: its exception's type is the error, never its text; after `Reject` the
    message is dead, and one that takes longer than ``time_limit`` seconds (at most a twentieth more) is
    cancelled, with the error ``timeout``. Holds are extended meanwhile. When cancelled, what runs has
    ``grace`` seconds to end, and all else is released. A store that can't be reached is tried again,
    ever later.
    """

    async def handle(unit: Sequence[Delivery]) -> None:
        await handler(unit[0])

    consumer = _Consumer(messages, queue, handle, concurrency, time_limit, grace, consumed or Consumed())
    await consumer.run(limit, visibility, wait, one_by_one=True)


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
) -> Never:
    """Handle messages by up to ``limit`` at once, until cancelled; they succeed or fail together.

    What `consume` says of one message holds for all that are handled at once.
    """
    consumer = _Consumer(messages, queue, handler, 1, time_limit, grace, consumed or Consumed())
    await consumer.run(limit, visibility, wait, one_by_one=False)


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
        concurrency: int,
        time_limit: float,
        grace: float,
        consumed: Consumed,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency is at least 1, not {concurrency}")
        self._messages, self._name, self._handle = messages, queue, handle
        self._time_limit, self._grace, self._consumed = time_limit, grace, consumed
        self._workers = [_Worker() for _ in range(concurrency)]
        self._todo: deque[Sequence[Delivery]] = deque()
        self._apart: Sequence[Delivery] = ()  # held, and kept from the workers for a while
        self._done: list[Delivery] = []
        self._stopping = self._receiving = False
        self._changed = anyio.Event()
        self._lasts: float | None = None  # how long a hold is, in seconds, as far as is known
        self._ahead = -math.inf  # the deadline of a fresh hold by the store's clock, less our time then
        self._doubted = False
        self._extended: dict[str, float] = {}

    async def run(self, limit: int, visibility: float | None, wait: float, *, one_by_one: bool) -> Never:
        check_receive(self._name, limit, wait, visibility)
        self._lasts = visibility
        feed = self._feed if len(self._workers) == 1 else self._feed_many
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep, visibility)
                if len(self._workers) > 1:
                    tasks.start_soon(self._acknowledge)
                    for worker in self._workers:
                        tasks.start_soon(self._work_on, worker)
                await feed(limit, visibility, wait, one_by_one)
        finally:
            await self._give_back()
        raise AssertionError("a feed ends only by an exception")

    async def _feed(self, limit: int, visibility: float | None, wait: float, one_by_one: bool) -> None:
        while True:
            held = await self._receive(limit, visibility, wait)
            self._todo.extend([[delivery] for delivery in held] if one_by_one else [held] if held else [])
            while self._todo and not self._stopping:
                await self._work(self._workers[0])
            if self._stopping:
                await anyio.sleep_forever()  # It is cancelled already.

    async def _feed_many(self, limit: int, visibility: float | None, wait: float, one_by_one: bool) -> None:
        while True:
            while not (free := sum(not worker.unit for worker in self._workers) - len(self._todo)) > 0:
                await self._changed.wait()
            self._receiving = True
            self._apart = held = await self._receive(min(limit, free), visibility, wait)
            suspect = bool(held) and held[0].suspect
            if suspect:  # Should it kill us, too, nothing else pays with an attempt.
                await self._until_idle()
            self._todo.extend([delivery] for delivery in held)
            self._apart = ()
            self._tell()
            if suspect:
                await self._until_idle()
            self._receiving = False

    async def _until_idle(self) -> None:
        while self._todo or any(worker.unit for worker in self._workers):
            await self._changed.wait()

    def _tell(self) -> None:
        """Let everybody look again."""
        self._changed.set()
        self._changed = anyio.Event()

    async def _receive(self, limit: int, visibility: float | None, wait: float) -> Sequence[Delivery]:
        pause = 0.0
        while True:
            done, self._done = self._done, []
            try:
                held = await self._messages.receive(
                    self._name, limit=limit, wait=wait, visibility=visibility, done=done
                )
            except MessagesError:
                self._done[:0] = done
                if not pause:
                    self._consumed.outages += 1
                    log.warning("the store of queue %s can't be reached; trying again", self._name)
            except BaseException:
                self._done[:0] = done  # Whether it was heard is unknown; saying it twice does no harm.
                raise
            else:
                self._consumed.received += len(held)
                if held:
                    ahead = held[0].deadline - monotonic()
                    self._ahead = ahead if self._doubted else max(self._ahead, ahead)
                    self._doubted = False
                return held
            pause = min(pause * 2 or 0.1, _LONGEST_PAUSE)
            await anyio.sleep(pause)

    # Working

    async def _work_on(self, worker: _Worker) -> None:
        while True:
            while not self._todo:
                await self._changed.wait()
            await self._work(worker)
            if self._stopping:
                await anyio.sleep_forever()

    async def _work(self, worker: _Worker) -> None:
        """Do what is there, until there is no more, or a scope is spent on a time-out."""
        consumed, now, lasts = self._consumed, monotonic(), self._time_limit * _SLACK
        until, scope = now + lasts, worker.spare
        scope.deadline = anyio.current_time() + lasts
        # Shielded, because a cancelled consumer lets what runs have its grace: `_keep` sees to that.
        with scope:
            worker.scope = scope
            while self._todo and not self._stopping:
                worker.unit = unit = self._todo.popleft()
                if now >= self._held_until(unit):
                    await self._too_late(unit)
                    worker.unit, now = (), monotonic()
                    continue
                if until < now + self._time_limit:  # Moving it for every message would cost a third of all this.
                    until = now + lasts
                    scope.deadline = anyio.current_time() + lasts
                correlation_id.set(unit[0].message.correlation_id)
                error: Exception | None = None
                try:
                    await self._handle(unit)
                except Exception as exc:  # noqa: BLE001 - a stranger's code; its text may be a person's
                    error = exc
                start, now = now, monotonic()
                consumed.seconds += now - start
                if error is None:
                    self._done += unit
                    consumed.done += len(unit)
                else:
                    await self._fail(unit, error)
                    now = monotonic()
                worker.unit = ()
                if len(self._workers) > 1:
                    self._tell()
                if scope.cancel_called:
                    break  # Ended at the very moment its time was over: the next one needs a new scope.
        worker.scope, worker.spare = None, anyio.CancelScope(shield=True)
        if worker.unit:
            unit, worker.unit = worker.unit, ()
            consumed.seconds += monotonic() - now
            if self._stopping:
                self._todo.appendleft(unit)  # to be released
            else:
                consumed.timed_out += len(unit)
                log.warning("a handler of queue %s took longer than %g s", self._name, self._time_limit)
                await self._nack(unit, "timeout")
            self._tell()

    async def _fail(self, unit: Sequence[Delivery], error: Exception) -> None:
        if isinstance(error, Reject):
            self._consumed.rejected += len(unit)
            await self._nack(unit, error.reason, permanent=True)
            return
        self._consumed.failed += len(unit)
        what = type(error).__name__
        log.warning("a handler of queue %s raised %s at %s", self._name, what, raised_at(error))
        await self._nack(unit, what)

    async def _nack(self, unit: Sequence[Delivery], error: str, *, permanent: bool = False) -> None:
        with anyio.move_on_after(_SETTLE, shield=True):
            try:
                for delivery in unit:
                    await self._messages.nack(delivery, error=error, permanent=permanent)
            except MessagesError:
                log.warning("queue %s was not told of a failure; the hold will run out", self._name)

    # Keeping what is held

    def _held_until(self, unit: Sequence[Delivery]) -> float:
        """Return our time at which the hold of a unit ends, reckoned from the quickest answer of the store so far."""
        if self._lasts is None:
            return math.inf
        until = unit[0].deadline - self._ahead + self._lasts
        return max(until, self._extended.get(unit[0].token, until)) if self._extended else until

    async def _too_late(self, unit: Sequence[Delivery]) -> None:
        """Give back what was held too long before it began, as when a process was stopped: others may have it."""
        now = monotonic()
        late = [unit, *(each for each in self._todo if now >= self._held_until(each))]
        self._todo = deque(each for each in self._todo if each not in late)
        self._doubted = True  # Or else the store's clock was set back, and this did no harm, and is so only once.
        given_back = [delivery for each in late for delivery in each]
        self._consumed.lost += len(given_back)
        with anyio.move_on_after(_SETTLE, shield=True), suppress(MessagesError):
            await self._messages.release(*given_back)

    async def _keep(self, visibility: float | None) -> None:
        """Acknowledge and extend what would not last; and when all is cancelled, say so."""
        old = set[str]()
        try:
            while True:
                try:
                    if visibility is None:
                        self._learn((await self._messages.settings(self._name)).visibility)
                    old = await self._extend(old, self._lasts or 30.0)
                except MessagesError:
                    pass  # The feed tells of it, and this is tried again in a moment.
                await anyio.sleep((self._lasts or 30.0) / 4)
        finally:
            self._stopping = True
            for scope in (worker.scope for worker in self._workers):
                if scope is not None:
                    scope.deadline = min(scope.deadline, anyio.current_time() + self._grace)

    def _learn(self, lasts: float) -> None:
        if lasts != self._lasts:
            self._lasts, self._ahead = lasts, -math.inf

    async def _extend(self, old: set[str], seconds: float) -> set[str]:
        """Extend what was there a quarter of its time ago; return what is there now."""
        await self._ack_done()
        held = list(self._held())
        tokens = {delivery.token for delivery in held}
        self._extended = {token: until for token, until in self._extended.items() if token in tokens}
        for delivery in held:
            if delivery.token not in old:
                continue
            until = monotonic() + seconds  # before it is asked for, so never too late
            if await self._messages.extend(delivery, seconds):
                self._extended[delivery.token] = until
                continue
            self._consumed.lost += 1
            if [delivery] in self._todo:
                self._todo.remove([delivery])
        return tokens

    def _held(self) -> Iterator[Delivery]:
        for unit in (*(worker.unit for worker in self._workers), *self._todo, self._apart):
            yield from unit

    async def _acknowledge(self) -> None:
        """Acknowledge while the feed waits for more; else its next receive does."""
        while True:
            if self._done and self._receiving:
                try:
                    await self._ack_done()
                    continue
                except MessagesError:
                    await anyio.sleep(1.0)
            await self._changed.wait()

    async def _ack_done(self) -> None:
        done, self._done = self._done, []
        try:
            if done:
                self._consumed.lost += list(await self._messages.ack(*done)).count(False)
        except BaseException:
            self._done[:0] = done
            raise

    async def _give_back(self) -> None:
        rest = list(self._held())
        with anyio.move_on_after(_SETTLE, shield=True):
            try:
                if self._done:
                    await self._messages.ack(*self._done)
                if rest:
                    self._consumed.released += list(await self._messages.release(*rest)).count(True)
            except MessagesError:
                log.warning(
                    "queue %s was not told that its consumer ends; %d holds will run out", self._name, len(rest)
                )
