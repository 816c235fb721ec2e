"""How long things will take, by how long they took of late."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from .plan import Plan

_WEIGHT = 0.1
"""How much of a prediction the last call is."""
_MOST = 4096
_STALE = 64


class Predictions:
    """Of each agent, by its type, the moving average of its calls' seconds; of a plan's steps, how long is left."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._count = 0
        self._ways: WeakKeyDictionary[Plan, tuple[int, Sequence[float]]] = WeakKeyDictionary()
        """Of each step the slowest way from its beginning to the end, and how many calls were known then."""

    def observe(self, agent: str, seconds: float) -> None:
        """Learn how long a call took."""
        before = self._seconds.get(agent)
        if before is None:
            if len(self._seconds) >= _MOST:
                del self._seconds[next(iter(self._seconds))]
            before = seconds
        self._seconds[agent] = before + _WEIGHT * (seconds - before)
        self._count += 1

    def call(self, agent: str) -> float:
        """Return how long a call of an agent will take, or 0 where nothing is known."""
        return self._seconds.get(agent, 0.0)

    def rest(self, plan: Plan, path: str) -> float:
        """Return how long a run will take from the beginning of that step on, or, without one, in all."""
        if not path:
            return max(self._of(plan), default=0.0)
        *outer, last = [part.partition("#")[0] for part in path.split("/")]
        total = 0.0
        at: Plan | None = plan
        for id in outer:
            assert at is not None
            step = at.ids[id]
            # What comes after it in there, and nothing of the step itself: that is counted further within.
            total += max((self._of(at)[each] for each in step.next), default=0.0)
            at = step.inner
        assert at is not None
        return total + self._of(at)[at.ids[last].index]

    def _of(self, plan: Plan) -> Sequence[float]:
        known = self._ways.get(plan)
        if known is None or self._count - known[0] >= _STALE:
            known = self._ways[plan] = self._count, self._slowest_ways(plan)
        return known[1]

    def _slowest_ways(self, plan: Plan) -> Sequence[float]:
        ways = [0.0] * len(plan.steps)
        for step in reversed(plan.in_order()):
            own = self.call(step.step.agent)
            if step.inner is not None:
                own = max(self._of(step.inner), default=0.0)
            ways[step.index] = own + max((ways[each] for each in step.next), default=0.0)
        return ways
