"""Callers are told that an agent's work goes on, however often it says so, once in a while."""

from __future__ import annotations

import anyio

from tta_messages import Messages

from .outbox import Outbox
from .sending import send

BEAT_INTERVAL = 0.2
"""How long, in seconds, a sign of life may wait for others that come meanwhile; a limit on silence is longer."""


class Beats:
    """Those that are due, for as long as `run` runs: one timer and one message batch for all calls.

    A call that ends meanwhile, or tells a piece of its text, says enough by that.
    """

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._due: dict[Outbox, int] = {}  # and how many pieces there had been
        self._filled = anyio.Event()

    def add(self, outbox: Outbox) -> None:
        """Tell it through ``outbox``, at most `BEAT_INTERVAL` from now."""
        if not self._due:
            self._filled.set()
        self._due[outbox] = outbox.pieces

    def discard(self, outbox: Outbox) -> None:
        """Don't tell it any more."""
        self._due.pop(outbox, None)

    async def run(self) -> None:
        """Tell what is due, until cancelled."""
        while True:
            if not self._due:
                self._filled = anyio.Event()
                await self._filled.wait()
            await anyio.sleep(BEAT_INTERVAL)
            beats = [outbox.beat() for outbox, pieces in self._due.items() if outbox.pieces == pieces]
            self._due.clear()
            if beats:
                # No longer than that: what can't be told now is told with the next.
                await send(self._messages, *beats, patience=BEAT_INTERVAL)
