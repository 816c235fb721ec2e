"""Counting from events, some time after they happened: whoever publishes them pays for one `append`."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio.lowlevel

from tta_kernel import EventBus, Subscription, as_failure
from tta_kernel.events import E

log = logging.getLogger("tta.metrics")

OWNER = "metrics"
_BUFFER = 10_000
_AT_ONCE = 500
"""Events that are counted before the event loop gets its turn: less than a millisecond."""


class Followed:
    """Events of which somebody counts something, and what they do with each."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._followed: list[tuple[Subscription[Any], Callable[[Any], object]]] = []
        self.failed = 0
        """Events whose update raised; they are not counted."""
        self._missed = 0

    @contextmanager
    def follow(self, event: type[E], update: Callable[[E], object]) -> Iterator[None]:
        """Call ``update`` with each such event, soon, for as long as the block; a plain function that doesn't block."""
        subscription = self._bus.attach(event, buffer=_BUFFER, owner=OWNER)
        one = (subscription, update)
        self._followed.append(one)
        try:
            yield
        finally:
            self._bus.detach(subscription)
            self._count(subscription.buffer, update)
            self._followed.remove(one)
            self._missed += subscription.dropped

    @property
    def missed(self) -> int:
        """How many events came so fast that they were not counted."""
        return self._missed + sum(subscription.dropped for subscription, _ in self._followed)

    async def catch_up(self) -> None:
        """Count what has been published until now."""
        for subscription, update in tuple(self._followed):
            while subscription.buffer:
                self._count(subscription.buffer, update, _AT_ONCE)
                await anyio.lowlevel.checkpoint()

    def _count(self, buffer: deque[Any], update: Callable[[Any], object], most: int = _BUFFER) -> None:
        for _ in range(min(most, len(buffer))):
            event = buffer.popleft()
            try:
                update(event)
            except BaseException as exc:  # noqa: BLE001 - a stranger's code; `as_failure` raises what must go on
                failure = as_failure(exc)
                if not self.failed:
                    # Once, and without its text: it may hold a person's.
                    log.error("counting %s raised %s", type(event).__name__, type(failure).__name__)  # noqa: TRY400
                self.failed += 1
