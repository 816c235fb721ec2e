"""The queues that are in memory, who waits for them, and how long each stays."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from math import inf

import anyio

from .queue import Queue


class OpenQueue:
    """A queue, and those who wait for it; ``alarm`` is when the last of them will look again by itself."""

    def __init__(self, queue: Queue, now: float) -> None:
        self.queue, self.used_at = queue, now
        self.configured = False
        self.told_at, self.alarm = -inf, inf
        self.waiters: deque[anyio.Event] = deque()

    async def wait(self, now: float, patience: float) -> None:
        """Wait until there may be something, but no longer than ``patience``, in seconds."""
        event, done = anyio.Event(), False
        self.alarm = self.queue.next_turn()
        self.waiters.append(event)
        try:
            with anyio.move_on_after(min(patience, max(self.alarm - now, 0.0))):
                await event.wait()
            done = True
        finally:
            if not event.is_set():
                self.waiters.remove(event)
            elif not done:
                self.wake(1)  # Cancelled, and called at the same time: let the next one look.

    def wake(self, count: int) -> None:
        """Call as many waiters as there are messages for, and all if they would look again too late."""
        if self.waiters and self.queue.next_turn() < self.alarm:
            count = len(self.waiters)
        for _ in range(min(count, len(self.waiters))):
            self.waiters.popleft().set()


class Queues:
    """At most ``limit`` queues, each made by ``make`` on its first use."""

    def __init__(self, make: Callable[[str], Queue], *, clock: Callable[[], float], limit: int) -> None:
        self._make, self._clock, self._limit = make, clock, limit
        self._open: OrderedDict[str, OpenQueue] = OrderedDict()

    def find(self, name: str) -> OpenQueue | None:
        """Return a queue that is there."""
        return self._open.get(name)

    def some(self, name: str | None) -> Mapping[str, OpenQueue]:
        """Return one queue, if it is there, or all of them in order."""
        if name is None:
            return dict(sorted(self._open.items()))
        opened = self.find(name)
        return {name: opened} if opened else {}

    def all(self) -> Iterable[OpenQueue]:
        """Return all queues."""
        return self._open.values()

    def open(self, name: str) -> OpenQueue | None:
        """Return the queue, made on its first use; None where there are too many."""
        now = self._clock()
        opened = self._open.get(name)
        if opened is None:
            if not self._make_room(now):
                return None
            opened = self._open[name] = OpenQueue(self._make(name), now)
        opened.used_at = now
        self._open.move_to_end(name)
        return opened

    def remove(self, name: str) -> None:
        """End a queue; who waits for it waits for the new one."""
        opened = self._open.pop(name)
        opened.wake(len(opened.waiters))

    def _make_room(self, now: float) -> bool:
        """End queues that are empty, and unused for long or in the way; the longest unused first."""
        gone: list[str] = []
        for name, opened in self._open.items():
            settings, full = opened.queue.settings, len(self._open) - len(gone) >= self._limit
            over = opened.used_at + settings.ttl + (settings.dead_ttl if opened.configured else 0.0) <= now
            if not (full or over):
                break
            if not opened.waiters and (over or not opened.configured) and opened.queue.is_empty(now):
                gone.append(name)
        for name in gone:
            del self._open[name]
        return len(self._open) < self._limit
