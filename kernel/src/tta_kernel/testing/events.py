"""Hearing what is published, and waiting for what no event tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic

import anyio

from tta_kernel.events import E, Subscription
from tta_kernel.kernel import Kernel


class Published(Generic[E]):
    """The events that were published since the block of `published` began."""

    def __init__(self, subscription: Subscription[E]) -> None:
        self._subscription = subscription

    async def next(self, within: float = 5.0) -> E:
        """Return the oldest one not yet returned; wait for it at most ``within`` seconds."""
        with anyio.fail_after(within):
            return await anext(self._subscription)

    async def rest(self) -> list[E]:
        """Return all that have come and were not yet returned, without waiting."""
        found: list[E] = []
        with anyio.move_on_after(0):
            async for event in self._subscription:
                found.append(event)  # noqa: PERF401  # a cancelled comprehension loses what it has
        return found


@contextmanager
def published(kernel: Kernel, *types: type[E]) -> Iterator[Published[E]]:
    """Hear events: ``with published(kernel, HourStruck) as events: …; await events.next()``."""
    with kernel.events.subscribe(*types, buffer=10_000) as subscription:
        yield Published(subscription)


async def until(condition: Callable[[], bool], within: float = 5.0) -> None:
    """Wait for what no event tells, at most ``within`` seconds."""
    with anyio.fail_after(within):
        while not condition():  # noqa: ASYNC110  # there is nothing to be woken by
            await anyio.sleep(0.005)
