"""When something that grows will reach a limit: the median of slopes, which a few wild points don't move."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import median

_POINTS = 30
"""Points that are compared with one another: 435 pairs."""
_LEAST = 10
_CERTAIN = 0.75
"""Which part of all pairs has to grow, or there is no forecast: Kendall's τ is 0.5 then."""
_FARTHEST = 86_400.0


def seconds_until(limit: float, points: Sequence[tuple[float, float]]) -> float | None:
    """Return after how many seconds from the last of some points, times and values, their trend reaches ``limit``.

    None where they don't grow, or not steadily, or will take more than a day. The slope is that of Theil and Sen: the
    median of the slopes between all pairs (P. K. Sen, 1968, doi:10.1080/01621459.1968.10480934), and the line goes
    through the medians of times and values.
    """
    step = -(-len(points) // _POINTS) if points else 1
    # The newest among them.
    some = points[::-1][::step]
    if len(some) < _LEAST:
        return None
    times, values = [time for time, _ in some], [value for _, value in some]
    if max(times) == min(times):
        return None
    slopes = [(later - value) / (at - time) for (time, value), (at, later) in combinations(some, 2) if at != time]
    slope = median(slopes)
    if slope <= 0 or sum(each > 0 for each in slopes) < _CERTAIN * len(slopes):
        return None
    now = median(values) + slope * (some[0][0] - median(times))
    left = max(0.0, (limit - now) / slope)
    return left if left <= _FARTHEST else None
