"""Wakes those who wait for a change of a run: each process listens on one channel, for however many."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from secrets import token_hex

import anyio

from tta_redis import Redis, Signal

from . import layout


class Waiting:
    """Who waits for which run, in this process."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.channel = layout.channel(redis, token_hex(8))
        self.vacancies = layout.vacancies(redis)
        self.vacant = anyio.Event()
        """Set once there may be runs to claim; whoever claims puts a new one in its place before."""
        self._events: dict[str, tuple[anyio.Event, int]] = {}
        """By run, with the number of those that wait for it."""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Hear of changes for as long as the block."""
        async with self._redis.subscribe(self.channel, self.vacancies, callback=self._heard):
            yield

    @contextmanager
    def hearing(self, run: str) -> Iterator[anyio.Event]:
        """Give an event that is set at the next call for a run: enter this before the server is asked to call."""
        event, waiters = self._events.get(run, (anyio.Event(), 0))
        self._events[run] = (event, waiters + 1)
        try:
            yield event
        finally:
            self._leave(run, event)

    def _leave(self, run: str, event: anyio.Event) -> None:
        current, waiters = self._events.get(run, (None, 0))
        if current is event:
            self._events[run] = (event, waiters - 1)
            if waiters == 1:
                del self._events[run]

    def _heard(self, signal: Signal | None) -> None:
        # None: something may have been missed, so that all look.
        if signal is None or signal.channel == self.vacancies:
            self.vacant.set()
        if signal is not None and signal.channel == self.vacancies:
            return
        runs = list(self._events) if signal is None else [signal.payload.decode(errors="replace")]
        for run in runs:
            if found := self._events.pop(run, None):
                found[0].set()
