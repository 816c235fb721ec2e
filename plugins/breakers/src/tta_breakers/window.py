"""Which share of the latest calls has failed: counts in a few buckets, however many calls there are."""

from __future__ import annotations

from collections.abc import Callable

_BUCKETS = 10


class Window:
    """Counts calls of the last ``seconds``, exact to a tenth of that; ``clock`` says seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._width = seconds / _BUCKETS
        self._clock = clock
        self._bucket = 0
        """The number of the latest bucket, counted from the clock's beginning."""
        self._calls = [0] * _BUCKETS
        self._failed = [0] * _BUCKETS
        self.calls = self.failed = 0

    def add(self, failed: int) -> None:
        """Count one call: ``failed`` is 1 or 0."""
        bucket = self._clock() // self._width
        if bucket != self._bucket:
            self._turn(int(bucket))
        self._calls[-1] += 1
        self.calls += 1
        if failed:
            self._failed[-1] += 1
            self.failed += 1

    def clear(self) -> None:
        """Forget all calls."""
        self._calls = [0] * _BUCKETS
        self._failed = [0] * _BUCKETS
        self.calls = self.failed = 0

    def _turn(self, bucket: int) -> None:
        """Drop the buckets that are too old by now; after a clock that went back, all of them."""
        passed = bucket - self._bucket
        if not 0 <= passed < _BUCKETS:
            passed = _BUCKETS
        self._calls = self._calls[passed:] + [0] * passed
        self._failed = self._failed[passed:] + [0] * passed
        self.calls, self.failed = sum(self._calls), sum(self._failed)
        self._bucket = bucket
