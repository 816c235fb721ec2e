"""Who has had more than a share: a virtual time that goes on as calls begin, by which each fairness key has a place."""

from __future__ import annotations

from collections.abc import Mapping

AHEAD = 4.0
"""By how many calls somebody may be ahead of a fair share before others go first.

With less, the order of the strategy would be lost between people who each have a run or two; with more, a flood would
keep the others waiting for longer.
"""
_KEPT = 1024


class Shares:
    """How far each key has come, in calls by its weight; a key with twice the weight has a share of twice the size.

    As in fair queueing, each call that begins moves its key on by one over its weight, and the virtual time by one over
    the weights of all who wait. So a key that takes just its share moves as fast as the time, one that takes more
    comes to be ahead, and one that was away has saved up nothing.
    """

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        self._weights = weights or {}
        self._time = 0.0
        self._places: dict[str, float] = {}
        self._waiting: dict[str, int] = {}
        """How many calls of each key wait."""
        self._weight_waiting = 0.0
        self._forget_at = _KEPT

    def place(self, key: str) -> float:
        """Return how far a key has come; nobody is behind the time."""
        return max(self._places.get(key, 0.0), self._time)

    @property
    def horizon(self) -> float:
        """Up to which place a key is within its share."""
        return self._time + AHEAD

    def comes(self, key: str) -> None:
        """Know that another call of that key waits."""
        count = self._waiting.get(key, 0)
        self._waiting[key] = count + 1
        if not count:
            self._weight_waiting += self._weight(key)

    def leaves(self, key: str) -> None:
        """Know that a call of that key waits no more."""
        count = self._waiting[key] - 1
        if count:
            self._waiting[key] = count
            return
        del self._waiting[key]
        self._weight_waiting -= self._weight(key)
        if not self._waiting:
            self._weight_waiting = 0.0  # What rounding has left of it.

    def begins(self, key: str) -> None:
        """Count a call that waited and begins now."""
        self._places[key] = self.place(key) + 1 / self._weight(key)
        self._time += 1 / max(self._weight_waiting, self._weight(key))
        if len(self._places) > self._forget_at:
            # Who isn't ahead of the time is where everybody new begins.
            self._places = {key: place for key, place in self._places.items() if place > self._time}
            self._forget_at = max(_KEPT, 2 * len(self._places))

    def go_on_to(self, place: float) -> None:
        """Let the time come so far that a key of that place is within its share: nobody else wants a slot."""
        self._time = max(self._time, place - AHEAD)

    def _weight(self, key: str) -> float:
        return self._weights.get(key, 1.0)
