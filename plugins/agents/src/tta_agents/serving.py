"""One delivery of a call, as long as it is held here."""

from __future__ import annotations

import math
from typing import Literal

import anyio

from tta_messages import Delivery

from .outbox import Outbox
from .wire import Accepted, Cancelled, Heard, Signal

End = Literal["", "cancelled", "lost", "released"]


class Serving:
    """What is known of it; ``accepted`` is what its caller has yet to be told, at ``tell_at``.

    It is held until ``held_until`` at least, and to be extended at ``extend_at``, by the event loop's clock.
    """

    def __init__(self, id: str, delivery: Delivery) -> None:
        self.id, self.delivery = id, delivery
        self.scope = anyio.CancelScope()
        self.outbox: Outbox | None = None
        self.accepted: Accepted | None = None
        self.tell_at = math.inf
        self.held_until = self.extend_at = 0.0
        self.ended: End = ""
        self.error, self.foreign = "", False

    def end(self, why: End) -> None:
        """Stop the agent."""
        self.ended = self.ended or why
        self.scope.cancel()

    def hear(self, signal: Signal) -> None:
        """Take in what the caller says."""
        if isinstance(signal, Cancelled):
            self.end("cancelled")
        elif isinstance(signal, Heard) and self.outbox is not None:
            self.outbox.heard(signal.next)
