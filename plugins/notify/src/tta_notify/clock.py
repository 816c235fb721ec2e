"""The time of day, so that tests can hold it."""

from __future__ import annotations

import time


class Clock:
    """The system's clock."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()
