"""Callers are told that an agent works on their call, unless it has answered in a moment."""

from __future__ import annotations

import anyio

from .outbox import ACCEPT_AFTER, Outbox
from .wire import Accepted


class Acceptances:
    """Those that may be due soon, for as long as `run` runs: one timer for all, not one for each call."""

    def __init__(self) -> None:
        self._waiting: dict[Outbox, tuple[float, Accepted]] = {}  # the oldest first
        self._filled = anyio.Event()

    def add(self, outbox: Outbox, accepted: Accepted) -> None:
        """Tell it through ``outbox``, `ACCEPT_AFTER` from now."""
        self._waiting[outbox] = anyio.current_time() + ACCEPT_AFTER, accepted
        self._filled.set()

    def discard(self, outbox: Outbox) -> None:
        """Don't tell it any more."""
        self._waiting.pop(outbox, None)

    async def run(self) -> None:
        """Tell what is due, until cancelled."""
        async with anyio.create_task_group() as tasks:
            while True:
                if not self._waiting:
                    self._filled = anyio.Event()
                    await self._filled.wait()
                await anyio.sleep(ACCEPT_AFTER)
                for outbox, accepted in self._due():
                    tasks.start_soon(outbox.tell, accepted)

    def _due(self) -> list[tuple[Outbox, Accepted]]:
        now = anyio.current_time()
        due: list[tuple[Outbox, Accepted]] = []
        for outbox, (at, accepted) in self._waiting.items():
            if at > now:
                break
            due.append((outbox, accepted))
        for outbox, _ in due:
            del self._waiting[outbox]
        return due
