"""Which share of the latest calls has failed: counts in a few buckets, however many calls there are."""

from __future__ import annotations

from collections.abc import Callable

_BUCKETS = 10


class Window:
    """Counts calls of the last ``seconds``, exact to a tenth of that."""

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
        bucket = int(self._clock() / self._width)
        if bucket != self._bucket:
            self._turn(bucket)
        place = bucket % _BUCKETS
        self._calls[place] += 1
        self._failed[place] += failed
        self.calls += 1
        self.failed += failed

    def clear(self) -> None:
        """Forget all calls."""
        self._calls = [0] * _BUCKETS
        self._failed = [0] * _BUCKETS
        self.calls = self.failed = 0

    def _turn(self, bucket: int) -> None:
        """Empty the buckets that are too old by now; after a clock that went back, all of them."""
        passed = bucket - self._bucket
        if not 0 <= passed < _BUCKETS:
            passed = _BUCKETS
        for number in range(bucket - passed + 1, bucket + 1):
            place = number % _BUCKETS
            self.calls -= self._calls[place]
            self.failed -= self._failed[place]
            self._calls[place] = self._failed[place] = 0
        self._bucket = bucket
