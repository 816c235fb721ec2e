"""Wakes receivers that wait: each process listens on one channel, for all its queues and receivers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from secrets import token_hex

import anyio

from tta_redis import Redis, RedisDown, Signal

from . import layout, wire

log = logging.getLogger("tta.messages-redis")


class Waiter:
    """A receiver that waits for one queue until it is ``called``; ``handed`` then holds messages, if it was given any.

    ``entry`` stands in the queue's set of those that wait; it names ``hold``, in which the messages are then.
    ``missed``: perhaps they were sent, and got lost on the way, since the connection was.
    """

    __slots__ = ("_future", "called", "entry", "handed", "hold", "missed", "queue")

    def __init__(self, queue: str, hold: str, entry: str) -> None:
        self.queue, self.hold, self.entry = queue, hold, entry
        self.called = self.missed = False
        self.handed = b""
        self._future: asyncio.Future[None] | None = None

    def call(self) -> None:
        """Let it look."""
        self.called = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self, patience: float) -> None:
        """Wait until it is called, but no longer than that, in seconds."""
        if not self.called:
            # A scope with a deadline and an Event do the same, and take five times as long.
            loop = asyncio.get_running_loop()  # noqa: TID251
            self._future = loop.create_future()
            timer = loop.call_later(patience, _time_is_up, self._future)
            try:
                await self._future
            finally:
                timer.cancel()


def _time_is_up(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Wakeups:
    """Calls receivers; ``unheard`` is told of calls for one that is gone: queue, hold, whether it was handed any."""

    def __init__(self, redis: Redis, channel: str, unheard: Callable[[str, str, bool], None]) -> None:
        self.name = token_hex(6)
        self._redis, self._channel, self._unheard = redis, channel, unheard
        self._waiters: dict[str, Waiter] = {}
        self._ready = anyio.Event()
        self.reconnects = 0

    async def ready(self, patience: float) -> bool:
        """Wait until it can be heard; False where that takes too long."""
        if not self._ready.is_set():
            with anyio.move_on_after(patience):
                await self._ready.wait()
        return self._ready.is_set()

    def listen(self, queue: str, hold: str, limit: int, visibility: float | str) -> Waiter:
        """Return a receiver that waits from now on; before it looks, so that nothing is missed."""
        waiter = Waiter(queue, hold, f"{self.name} {hold} {limit} {visibility}")
        self._waiters[hold] = waiter
        return waiter

    def leave(self, waiter: Waiter | None) -> None:
        """Wait no longer."""
        if waiter is not None:
            self._waiters.pop(waiter.hold, None)

    async def run(self) -> None:
        """Listen, for as long as the service runs."""
        while True:
            try:
                async with self._redis.subscribe(self._channel + self.name, callback=self._on_signal):
                    self._ready.set()
                    self._call_all()
                    await anyio.sleep_forever()
            except RedisDown as exc:
                # Until then those that wait look from time to time.
                self._ready = anyio.Event()
                log.warning("can't be woken: %s", exc.reason)
                await anyio.sleep(1.0)

    def _on_signal(self, signal: Signal | None) -> None:
        if signal is None:
            self.reconnects += 1
            self._call_all()
        else:
            self._call(signal.payload)

    def _call(self, payload: bytes) -> None:
        queue, _, rest = payload.partition(b" ")
        hold = rest[: layout.HOLD_SIZE].decode(errors="replace")
        handed = len(rest) > layout.HOLD_SIZE
        waiter = self._waiters.pop(hold, None)
        if waiter is None:
            if wire.QUEUE.fullmatch(queue):
                self._unheard(queue.decode(), hold, handed)
            return
        waiter.handed = payload if handed else b""
        waiter.call()

    def _call_all(self) -> None:
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters.values():
            waiter.missed = True
            waiter.call()
