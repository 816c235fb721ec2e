"""One delivery of a call, for as long as this process works on it."""

from __future__ import annotations

from typing import Literal

import anyio

from tta_messages import Delivery

from .outbox import Outbox
from .wire import Cancelled, Credit, Present, Signal, UndoTaken

End = Literal["", "cancelled", "lost", "released"]


class Execution:
    """What is known of it: ``ended`` says why the agent was stopped, ``error`` what broke beside the agent.

    A delivery that is ``foreign`` is no call at all, and nothing that another attempt could change.
    """

    def __init__(self, id: str, delivery: Delivery) -> None:
        self.id, self.delivery = id, delivery
        self.scope = anyio.CancelScope()
        self.outbox: Outbox | None = None
        self.ended: End = ""
        self.error, self.foreign = "", False

    def end(self, why: End) -> None:
        """Stop the agent."""
        self.ended = self.ended or why
        self.scope.cancel()

    def on_signal(self, signal: Signal) -> None:
        """Take in what the caller says; never waits."""
        if isinstance(signal, Cancelled):
            self.end("cancelled")
        elif isinstance(signal, Credit) and self.outbox is not None:
            self.outbox.credit(signal.next)
        elif isinstance(signal, UndoTaken) and self.outbox is not None:
            self.outbox.taken(signal.number)
        elif isinstance(signal, Present) and self.outbox is not None:
            self.outbox.present()
