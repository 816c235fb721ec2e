"""A store that can't be used: said when that begins, once a minute while it lasts, and when it is over."""

from __future__ import annotations

import logging
from collections.abc import Callable

TOLD_EVERY = 60.0
log = logging.getLogger("tta.access")


class Outage:
    """What keeps the store of keys from being asked; each request that needs it learns that anew."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.reason = ""
        """Why it can't be used; empty while it can."""
        self._clock = clock
        self._tell_at = float("-inf")
        self._refused = 0

    def goes_on(self, error: Exception) -> None:
        """Note that the store couldn't be asked."""
        self.reason = f"the store of keys can't be used: {error}"
        self._refused += 1
        if self._clock() >= self._tell_at:
            log.warning("%s; who shows a key of it is answered 503 (%d so far)", self.reason, self._refused)
            self._tell_at = self._clock() + TOLD_EVERY

    def is_over(self) -> None:
        """Note that it has answered."""
        if self.reason:
            log.warning("the store of keys answers again; %d callers were answered 503", self._refused)
            self.reason = ""
            self._refused = 0
            self._tell_at = float("-inf")
