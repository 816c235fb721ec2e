"""The operating points: from where on a column warns, or names a kind, fixed on development data before any judging."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tta_safety_rules.scores import NEVER, Threshold

from .calibration import Doubles, Flags

MARGIN = 0.3
"""By how much, in log odds, what names a kind of crisis must stand above the worst of what it may not name."""
WARNINGS = {"role-play": 0.0048, "everyday": 0.0065, "fiction": 0.005, "counsel": 0.03}
"""The share of each set that may be warned of beyond what floor rules warn of, whatever anybody says."""
ESCALATIONS = {"role-play": 0.0004, "everyday": 0.0004, "fiction": 0.0002, "counsel": 0.008}
"""The share for which a kind of crisis may be named beyond those for which floor rules name it."""
STORY_WARNINGS = {"role-play": 0.0042, "everyday": 0.01, "fiction": 0.005, "twins": 0.12}
STORY_ESCALATIONS = {"role-play": 0.0, "everyday": 0.0, "fiction": 0.0, "twins": 0.01}
STORY_MARGIN = 0.3
"""The same of generated texts, where rules and heads aren't weighed; twins are harmless replies next to unsafe ones.

What is certain there is blocked, and takes a story that was harmless away from its player: so nothing harmless may be.
"""
_STRIDES = (1, 2, 4, 8, 16, 32, 64)
"""So many more of what should be found may be found in one step: past a single one that costs too much."""


def operating_points(
    columns: Sequence[str],
    odds: Mapping[str, Doubles],
    wanted: Doubles,
    *,
    warnings: Mapping[str, float],
    escalations: Mapping[str, float],
    margin: float = MARGIN,
    warned: Mapping[str, Flags] | None = None,
    named: Mapping[str, Flags] | None = None,
) -> dict[str, Threshold]:
    """Return the thresholds that find most of what is ``wanted`` while all columns together stay within the shares.

    ``odds`` are of harmless texts; those that are ``warned`` of, or ``named``, by others already don't count.
    """
    warn = _bars(odds, wanted, warnings, warned or {})
    name = np.maximum(_bars(odds, wanted, escalations, named or {}) + margin, warn)
    points = {}
    for place, column in enumerate(columns):
        points[column] = Threshold(_probability(warn[place]), _probability(name[place]))
    return points


def _bars(
    odds: Mapping[str, Doubles], wanted: Doubles, shares: Mapping[str, float], given: Mapping[str, Flags]
) -> Doubles:
    """Return the log odds above which each column counts, found greedily.

    All begin above the worst of the harmless; then again and again that one is lowered by which the most is found for
    what it costs, until nothing more can be paid for. A set's cost is measured by its share: so one odd text in a
    small set is paid for where that is worth it, and hides no whole column.
    """
    whole = {name: math.floor(share * len(odds[name])) for name, share in shares.items()}
    harmless = {name: of[~given[name]] if name in given else of for name, of in odds.items()}
    bars: Doubles = np.max([of.max(0) for of in harmless.values()], axis=0)
    while True:
        # Above its bar is what a column finds.
        found = (wanted > bars).any(1)
        paid = {name: (of > bars).any(1) for name, of in harmless.items()}
        best, lowered = 0.0, bars
        for column, bar in _steps(wanted[~found], bars):
            cost = _COSTLESS
            for name, of in harmless.items():
                more = int(((of[:, column] > bar) & ~paid[name]).sum())
                if more + int(paid[name].sum()) > whole[name]:
                    break
                cost += more / whole[name] if more else 0.0
            else:
                gain = int(((wanted[:, column] > bar) & ~found).sum())
                if gain / cost > best:
                    best = gain / cost
                    lowered = bars.copy()
                    lowered[column] = bar
        if best == 0.0:
            return bars
        bars = lowered


_COSTLESS = 1e-6


def _steps(left: Doubles, bars: Doubles) -> Iterator[tuple[int, float]]:
    """Yield columns, and to where each may be lowered: just below some of what is left to be found."""
    for column in range(left.shape[1]):
        next_ones = np.sort(left[:, column])[::-1]
        next_ones = next_ones[next_ones <= bars[column]]
        for stride in _STRIDES:
            if stride <= len(next_ones):
                yield column, float(np.nextafter(next_ones[stride - 1], -np.inf))


def _probability(odds: float) -> float:
    if not math.isfinite(odds):
        return NEVER
    # Rounded up: down might let one more through.
    return math.ceil(1e4 / (1 + math.exp(-odds))) / 1e4
