"""How often somebody may ask: the generic cell rate algorithm, one number for each caller and class."""

from __future__ import annotations

import time
from collections.abc import Callable

from .config import Config

MOST_CALLERS = 10_000
"""What is remembered; of more, those that have asked least recently are forgotten."""


class Limiter:
    """Counts requests by caller and class of route.

    A caller has a time at which all that it asked will be paid off, each request costing ``1 / per_second``; where that
    lies further ahead than the burst allows the request is refused (ITU-T I.371, annex A).
    """

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._paid_off: dict[tuple[str, str], float] = {}
        self._costs: dict[str, tuple[float, float]] = {}
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Take over other limits; what callers have used by the old ones is forgotten."""
        self._paid_off = {}
        self._costs = {}
        for kind in ("probe", "read", "write", "costly"):
            rate = config.rate(kind)
            self._costs[kind] = (1 / rate.per_second, (rate.burst - 0.5) / rate.per_second)

    def wait(self, caller: str, kind: str) -> float:
        """Count a request; return 0 where it may go on, else after how many seconds another makes sense."""
        cost, ahead = self._costs[kind]
        now = self._clock()
        key = (caller, kind)
        paid_off = self._paid_off.get(key, now)
        if paid_off - now > ahead:
            return paid_off - now - ahead
        if key not in self._paid_off and len(self._paid_off) >= MOST_CALLERS:
            self._forget(now)
        self._paid_off[key] = max(paid_off, now) + cost
        return 0.0

    def _forget(self, now: float) -> None:
        self._paid_off = {key: at for key, at in self._paid_off.items() if at > now}
        # Whoever comes from ever new addresses pushes out its own.
        while len(self._paid_off) >= MOST_CALLERS:
            del self._paid_off[next(iter(self._paid_off))]
