"""The lease by which one process fires schedules: taken, renewed, and lost in time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Never

import anyio

from tta_messages import Backoff
from tta_workflows.journal import Lease

from .store import ScheduleStore, ScheduleStoreError


class Hold:
    """Holds the lease while `run` runs, or waits until whoever has it is gone."""

    def __init__(
        self, store: ScheduleStore, process: str, ttl: float, log: logging.Logger,
        monotonic: Callable[[], float] = anyio.current_time,
    ) -> None:  # fmt: skip
        self._store, self._process, self._ttl, self._log = store, process, ttl, log
        self._monotonic = monotonic
        self._lease: Lease | None = None
        self._until = 0.0
        self.taken = anyio.Event()
        """Set when the lease is taken; a new one is there after each loss."""

    @property
    def lease(self) -> Lease | None:
        """The lease, as long as it holds by our own clock: that ends earlier than by the store's."""
        return self._lease if self._monotonic() < self._until else None

    async def run(self) -> Never:
        """Take the lease and renew it, until cancelled."""
        backoff = Backoff(self._log, "the lease on schedules can't be taken or renewed")
        while True:
            try:
                await self.ask()
                if self._lease is None:
                    # Whoever leaves it tells: it need not stand empty until we would ask anyway.
                    await self._store.changed(wait=self._ttl / 3)
            except ScheduleStoreError as exc:
                await backoff.wait(exc)
                continue
            backoff.over()
            if self._lease is not None:
                await anyio.sleep(self._ttl / 3)

    async def ask(self) -> None:
        """Take or renew it, once."""
        asked_at = self._monotonic()
        before = self._lease
        lease = await self._store.hold(self._process, self._ttl, before)
        if before is not None and lease != before:
            self._log.warning("the lease on schedules is over: whoever has it by now fires them")
        self._lease = lease
        if lease is None:
            self._forget()
            return
        # The request was on its way: by the store's clock it ends later.
        self._until = asked_at + self._ttl
        self.taken.set()

    def doubt(self) -> None:
        """Do nothing by it before it is asked for again: the store has said that it doesn't hold."""
        self._until = 0.0
        self.taken = anyio.Event()

    async def leave(self) -> None:
        """Give it up, so that others need not wait for its end."""
        lease = self._lease
        self._forget()
        if lease is not None:
            await self._store.leave(lease)

    def _forget(self) -> None:
        self._lease, self._until = None, 0.0
        self.taken = anyio.Event()
