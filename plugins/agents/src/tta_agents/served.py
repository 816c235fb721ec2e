"""One instance of an agent that is served here, and how it does."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

from .model import Agent, AgentId, Statistics

Status = Literal["idle", "busy", "degraded"]
_OWN_FAULTS = frozenset({"failed", "timeout", "bad_output"})


class Served:
    """One instance; ``shared`` says that other processes call it, ``limit`` how often at once.

    ``taken`` counts the calls of other processes that it has at the moment. After ``degraded_after`` calls
    in a row that failed by its own fault it is degraded: until one succeeds, or for ``degraded_for``
    seconds, since nobody may dare to call it meanwhile.
    """

    def __init__(self, id: AgentId, agent: Agent[Any, Any], *, shared: bool = False, limit: int = 0) -> None:
        self.id, self.agent, self.shared, self.limit = id, agent, shared, limit
        self.resources: Mapping[str, Any] = {}
        self.degraded_after, self.degraded_for = 5, 30.0
        self.registered_at = time.time()
        self.taken = 0
        self.published: Status = "idle"
        self.calls = self.errors = self.timeouts = self.running = 0
        self.seconds: deque[float] = deque(maxlen=100)
        self._faults, self._faulty_at, self._fault = 0, 0.0, ""
        self._times: tuple[float, float, float] | None = None
        """Mean, median and 95th percentile, until another call ends: a registry looks more often than that."""

    @property
    def status(self) -> Status:
        if self._faults >= self.degraded_after and time.monotonic() - self._faulty_at < self.degraded_for:
            return "degraded"
        return "busy" if self.running else "idle"

    @property
    def degraded(self) -> bool:
        return self.status == "degraded"

    @property
    def trouble(self) -> str:
        """What its last calls came to."""
        return f"its last {self._faults} calls came to nothing ({self._fault}); its plugin's log says why"

    def ended(self, seconds: float, code: str) -> None:
        """Count a call that came to ``code``, an empty one where to an answer."""
        self.running -= 1
        self.seconds.append(seconds)
        self._times = None
        self.timeouts += code == "timeout"
        self.errors += code not in ("", "cancelled")
        if code in _OWN_FAULTS:
            self._faults, self._faulty_at, self._fault = self._faults + 1, time.monotonic(), code
        elif not code:
            self._faults = 0

    def statistics(self) -> Statistics:
        if self._times is None:
            times = sorted(self.seconds) or [0.0]
            median, p95 = (times[int(len(times) * share)] for share in (0.5, 0.95))
            self._times = sum(times) / len(times), median, p95
        mean, median, p95 = self._times
        return Statistics(self.calls, self.errors, self.timeouts, self.running, mean, p95, median)
