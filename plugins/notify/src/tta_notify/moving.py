"""What went out from memory while the outbox was away is stored when that is back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Never

import anyio

from tta_messages import Backoff

from .clock import Clock
from .memory import MemoryOutbox
from .model import Entry
from .outbox import Changed, NotHeld, Outbox, OutboxError
from .plan import merged

_AT_ONCE = 100
_LEASE = 60.0
_POLL = 1.0
_LATEST = 1e12


class Mover:
    """Moves all that is in ``lane`` into ``outbox``; what is being sent just now comes when that is done."""

    def __init__(
        self, lane: MemoryOutbox, outbox: Outbox, clock: Clock, log: logging.Logger, *, back: Callable[[], None]
    ) -> None:
        self._lane, self._outbox, self._clock, self._log, self._back = lane, outbox, clock, log, back

    async def run(self) -> Never:
        """Move until cancelled."""
        backoff = Backoff(self._log, "notifications of this process can't be stored yet")
        while True:
            if not len(self._lane):
                # Whoever sends from there may have heard of it alone.
                await self._lane.changed(wait=_POLL)
                continue
            try:
                # Nothing is held back for an outbox that isn't there.
                await self._outbox.counts()
                await self.move()
            except OutboxError as exc:
                await backoff.wait(exc)
                continue
            backoff.over()
            self._back()
            if len(self._lane):
                await anyio.sleep(_POLL)

    async def finish(self, limit: float) -> None:
        """Move what is there for the last time; what is left after ``limit`` seconds ends with this process."""
        with anyio.move_on_after(limit), suppress(OutboxError):
            await self.move()
        if left := len(self._lane):
            self._log.critical("the outbox is away, and %d notifications end with this process", left)

    async def move(self) -> None:
        """Move what is not being sent, or raise `OutboxError`; then the rest stays where it is."""
        for taken in await self._lane.take(_LATEST, _AT_ONCE, _LEASE):
            try:
                await self._store(taken.entry)
            except OutboxError:
                await self._give_back(taken.entry, taken.lease)
                raise
            await self._remove(taken.entry, taken.lease)
        for entry in (await self._lane.page(most=_AT_ONCE)).entries:
            if entry.wake is None:
                await self._store(entry)
                await self._remove(entry, "")

    async def _store(self, entry: Entry) -> None:
        if (await self._outbox.add(entry)).status != "known":
            return
        while True:
            stored = await self._outbox.get(entry.key)
            if stored is None:
                return
            try:
                await self._outbox.put(merged(stored, entry, self._clock.now()))
            except Changed:
                continue
            return

    async def _give_back(self, entry: Entry, lease: str) -> None:
        # Who has changed it meanwhile was a human who acknowledged it; then it comes again when the lease is over.
        with suppress(Changed, NotHeld):
            await self._lane.put(entry, lease=lease, release=True)

    async def _remove(self, entry: Entry, lease: str) -> None:
        try:
            await self._lane.remove(entry, lease=lease)
        except (Changed, NotHeld):
            # A human has acknowledged it meanwhile: it is moved once more.
            changed = await self._lane.get(entry.key)
            if changed is not None and lease:
                await self._give_back(changed, lease)
