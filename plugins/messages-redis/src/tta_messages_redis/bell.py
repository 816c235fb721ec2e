"""How a process that waits hears that there is something: it is called by name, on one channel for all its queues."""

from __future__ import annotations

import logging
from collections.abc import Callable
from secrets import token_hex

import anyio

from tta_redis import Redis, RedisDown

log = logging.getLogger("tta.messages-redis")


class Bell:
    """Wakes who waits for a queue; ``unheard`` is told of a queue for which nobody waits any more."""

    def __init__(self, redis: Redis, channel: str, unheard: Callable[[str], None]) -> None:
        self.name = token_hex(6)
        self._redis, self._channel, self._unheard = redis, channel, unheard
        self._waiters: dict[str, list[anyio.Event]] = {}
        self._ready = anyio.Event()
        self.reconnects = 0

    async def ready(self, patience: float) -> bool:
        """Wait until it can be heard; False where that takes too long."""
        if not self._ready.is_set():
            with anyio.move_on_after(patience):
                await self._ready.wait()
        return self._ready.is_set()

    def listen(self, queue: str) -> anyio.Event:
        """Return an event that is set when there is something; before looking, so that nothing is missed."""
        event = anyio.Event()
        self._waiters.setdefault(queue, []).append(event)
        return event

    def leave(self, queue: str, event: anyio.Event) -> None:
        """Wait no longer."""
        waiters = self._waiters.get(queue)
        if waiters and event in waiters:
            waiters.remove(event)
            if not waiters:
                del self._waiters[queue]

    async def run(self) -> None:
        """Hear, for as long as the service runs."""
        while True:
            try:
                async with self._redis.listen(self._channel + self.name) as signals:
                    self._ready.set()
                    self._ring_all()
                    async for signal in signals:
                        if signal is None:
                            self.reconnects += 1
                            self._ring_all()
                        else:
                            self._ring(signal.payload.decode())
            except RedisDown as exc:
                # Until then waiting ones look from time to time.
                self._ready = anyio.Event()
                log.warning("can't be woken: %s", exc.reason)
                await anyio.sleep(1.0)

    def _ring(self, queue: str) -> None:
        waiters = self._waiters.pop(queue, None)
        if not waiters:
            self._unheard(queue)
        for event in waiters or ():
            event.set()

    def _ring_all(self) -> None:
        for queue in list(self._waiters):
            self._ring(queue)
