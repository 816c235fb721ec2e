"""Shares and areas with 95 % intervals, in plain Python."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

_Z = 1.959964


class Measure(NamedTuple):
    """A figure with the interval in which it lies with 95 % confidence, and of how many texts."""

    value: float
    low: float
    high: float
    n: int


def share(hits: int, n: int) -> Measure | None:
    """Return a share with Wilson's interval (1927), which also holds near 0 and 1; None of nothing."""
    if not n:
        return None
    p = hits / n
    middle = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
    return Measure(p, max(0.0, min(middle - half, p)), min(1.0, max(middle + half, p)), n)


def area(positive: Sequence[float], negative: Sequence[float]) -> Measure | None:
    """Return the area under the receiver's curve: how often a positive scores above a negative; ties count half.

    The interval is after DeLong et al., "Comparing the areas under two or more correlated receiver operating
    characteristic curves" (1988), on the scale of log odds, so that it stays between 0 and 1.
    """
    if not positive or not negative:
        return None
    of_positive = _placements(positive, negative)
    of_negative = [1 - each for each in _placements(negative, positive)]
    value = math.fsum(of_positive) / len(positive)
    variance = _variance(of_positive) / len(positive) + _variance(of_negative) / len(negative)
    n = len(positive) + len(negative)
    if not 0 < value < 1:
        # All of one side are above all of the other: what Wilson says of the smaller side is as much as is known.
        bound = share(int(value) * min(len(positive), len(negative)), min(len(positive), len(negative)))
        assert bound is not None
        return Measure(value, bound.low, bound.high, n)
    half = _Z * math.sqrt(variance) / (value * (1 - value))
    odds = math.log(value / (1 - value))
    return Measure(value, _logistic(odds - half), _logistic(odds + half), n)


def recall_at(positive: Sequence[float], negative: Sequence[float], rate: float) -> Measure | None:
    """Return the share of positives above the score that lets through at most ``rate`` of the negatives."""
    if not positive or not negative:
        return None
    falling = sorted(negative, reverse=True)
    allowed = math.floor(rate * len(negative) + 1e-9)
    # Strictly above the first negative that is too many: a tie with it is none.
    bar = falling[allowed] if allowed < len(falling) else -math.inf
    return share(sum(score > bar for score in positive), len(positive))


def curve(positive: Sequence[float], negative: Sequence[float], points: int = 200) -> list[tuple[float, float]]:
    """Return the receiver's curve: false alarms and recall, from the highest bar to the lowest."""
    ups, downs = sorted(positive), sorted(negative)
    bars = sorted({*positive, *negative}, reverse=True)
    step = max(1, len(bars) // points)
    found = [(0.0, 0.0)]
    for bar in [*bars[::step], bars[-1]]:
        above = len(ups) - bisect_left(ups, bar)
        false = len(downs) - bisect_left(downs, bar)
        found.append((false / len(downs), above / len(ups)))
    return found


def median(values: Sequence[float]) -> float:
    """Return the value in the middle."""
    return quantile(values, 0.5)


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value below which a part of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def _placements(ones: Sequence[float], others: Sequence[float]) -> list[float]:
    """Return for each of the ones the share of the others that are below it."""
    ordered = sorted(others)
    return [(bisect_left(ordered, one) + bisect_right(ordered, one)) / 2 / len(ordered) for one in ones]


def _variance(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _logistic(odds: float) -> float:
    return 1 / (1 + math.exp(-odds)) if odds > -500 else 0.0
