"""The samples of the last hour."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from .model import Sample


class History:
    """Keeps the last ``size`` samples."""

    def __init__(self, size: int) -> None:
        self._samples: deque[Sample] = deque(maxlen=size)

    def add(self, sample: Sample) -> None:
        """Keep a sample; the oldest goes."""
        self._samples.append(sample)

    def last(self) -> Sample:
        """Return the newest."""
        return self._samples[-1]

    def newest(self, most: int) -> Sequence[Sample]:
        """Return the newest, the oldest of them first."""
        found = list(islice(reversed(self._samples), most))
        return found[::-1]

    def history(self, *, since: float = 0.0, most: int = 3600) -> Sequence[Sample]:
        """Return samples after ``since``, the oldest first, thinned out evenly to ``most``, the newest among them."""
        found = [sample for sample in self._samples if sample.at > since]
        step = -(-len(found) // most)
        return found[::-1][::step][::-1] if step > 1 else found
