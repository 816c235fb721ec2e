"""A clock that a test moves."""

from __future__ import annotations

from tta_notify.clock import Clock


class HeldClock(Clock):
    """Stands still, but for `sleep`."""

    def __init__(self, at: float = 1000.0) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Let seconds pass at once."""
        self.at += seconds
