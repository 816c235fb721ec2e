"""What a plugin holds in its hand: counters, gauges and histograms, cheap enough for any path.

A counter's `inc` takes 50 ns, and a histogram's `observe` 170: plain numbers, no lock. They belong to the event loop's
thread; from another thread a count may be lost.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

MOST = 1e300
"""More than any figure. What is more, no float holds, and of a whole number Python may refuse to write the digits."""
SUB_BUCKETS = 16
"""Buckets for each doubling: a bucket is at most 1/16 of its lower bound wide.

So a quantile, which is told as the middle of its bucket, is at most 1/32 (3.1 %) off. This is the log-linear form of
HdrHistogram (G. Tene) and of Circonus' llhist; all bounds are exact in binary, and a bucket holds its upper one.
"""


class Buckets:
    """The bounds that a histogram counts by, from ``2**low`` to ``2**high``, and those that a scrape tells.

    What is less counts as the least, and what is more is known only to be that. ``shown`` are powers of two: so a
    scrape tells exactly how many there were up to each.
    """

    def __init__(self, low: int, high: int, shown: Sequence[int]) -> None:
        steps = [2.0**power * (1 + part / SUB_BUCKETS) for power in range(low, high) for part in range(SUB_BUCKETS)]
        self.bounds = [*steps, 2.0**high]
        self.shown = [2.0**power for power in shown]
        inner = [bisect_left(self.bounds, bound) + 1 for bound in self.shown]
        self.slices = [slice(low, high) for low, high in pairwise([0, *inner, len(self.bounds) + 1])]
        """Which counts lie between two shown bounds."""


LATENCY = Buckets(-20, 12, shown=range(-10, 7))
"""From a microsecond to an hour, in seconds; a scrape tells each doubling from a millisecond to a minute."""
SIZE = Buckets(0, 32, shown=range(0, 33, 2))
"""From one byte to 4 GiB; a scrape tells each second doubling."""


class Counter:
    """A number that only grows."""

    __slots__ = ("template", "value")

    def __init__(self) -> None:
        self.value: float = 0
        self.template = ""
        """Its line in a scrape, but for the number."""

    def inc(self, amount: float = 1) -> None:
        """Count ``amount`` more, from 0 up to `MOST`."""
        # Written so that it catches what is no number, too: the counter would be none from then on. Nearly all count
        # one, which needs no look at both ends: that is 20 ns of 75.
        if amount != 1 and not 0 <= amount <= MOST:
            raise ValueError(
                f"a counter only grows, and by 0 to {MOST:g}, not {_shown(amount)}; a gauge goes both ways"
            )
        self.value += amount


class Gauge:
    """A number that goes up and down."""

    __slots__ = ("template", "value")

    def __init__(self) -> None:
        self.value: float = 0
        self.template = ""

    def set(self, value: float) -> None:
        """Say how much it is now."""
        self.value = _added(0, value)  # True is 1 in a scrape, and text is an error here and not there.

    def inc(self, amount: float = 1) -> None:
        """Add ``amount``."""
        self.value = _added(self.value, amount)

    def dec(self, amount: float = 1) -> None:
        """Take ``amount`` away."""
        self.value = _added(self.value, -amount)


def _added(value: float, amount: float) -> float:
    """Return a gauge's next number; raise a ValueError for a whole one that a scrape couldn't tell."""
    try:
        found = value + amount
        float(found)
    except OverflowError:
        raise ValueError(f"{_shown(amount)} is too large for a gauge: no float holds what comes of it") from None
    return found


def _shown(value: float) -> str:
    return f"a whole number of {value.bit_length()} bits" if isinstance(value, int) else repr(value)


class Histogram:
    """How numbers from 0 up are distributed."""

    __slots__ = ("bounds", "buckets", "counts", "edges", "sum", "template", "text", "told")

    def __init__(self, buckets: Buckets = LATENCY) -> None:
        self.buckets = buckets
        self.bounds = buckets.bounds
        self.edges = [*self.bounds, MOST]
        """Where a number's bucket ends; above the last of them is none."""
        self.counts = [0] * len(self.edges)
        self.sum: float = 0.0
        self.template = ""
        self.text = ""
        """Its lines in a scrape, as long as ``counts`` are what was ``told``."""
        self.told: Sequence[int] = ()

    def observe(self, value: float) -> None:
        """Count one number, in the base unit: seconds, bytes."""
        index = bisect_left(self.edges, value)
        # What is no number from 0 up lands in the first bucket, too: so few have to be looked at, which is 20 ns less.
        if not index and not value >= 0:
            raise ValueError(f"a histogram takes numbers from 0 up, not {_shown(value)}")
        try:
            self.counts[index] += 1
        except IndexError:
            raise ValueError(f"a histogram takes numbers from 0 up to {MOST:g}, not {_shown(value)}") from None
        self.sum += value

    @property
    def count(self) -> int:
        """How many numbers there were."""
        return sum(self.counts)

    def cumulative(self) -> Iterator[int]:
        """Count what is at most each of the shown bounds, and then all."""
        counts = self.counts
        return accumulate([sum(counts[between]) for between in self.buckets.slices])

    def quantiles(self, *shares: float) -> Sequence[float]:
        """Return what each share (0 to 1) of all numbers is at most, 3.1 % off at most; 0 where there is none."""
        seen = [*accumulate(self.counts)]
        if not seen[-1]:
            return [0.0] * len(shares)
        # The first number is wanted where the share is less than one number.
        return [self._middle(bisect_left(seen, max(1, share * seen[-1]))) for share in shares]

    def _middle(self, index: int) -> float:
        if index == 0:
            return self.bounds[0] if self.sum else 0.0
        if index == len(self.bounds):
            return self.bounds[-1]
        return (self.bounds[index - 1] + self.bounds[index]) / 2
