"""From a head's logits to probabilities, and to the operating points: fixed on development data, before any judging."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from tta_safety_rules.scores import NEVER, Threshold
from tta_safety_rules.weights import Calibration

Doubles = NDArray[np.float64]
_ENOUGH = 8
_LOOSE = 1e3
_MARGIN = 0.3
"""By how much, in log odds, what names a kind of crisis must stand above the worst of what it may not name."""

WARNINGS = {"role-play": 0.0045, "everyday": 0.007, "fiction": 0.005, "counsel": 0.04}
"""The share of each set that the head may warn of: about half of what the whole may, since the rules warn, too."""
ESCALATIONS = {"role-play": 0.0004, "everyday": 0.0006, "fiction": 0.0002, "counsel": 0.008}
"""The share that it may name a kind of crisis for."""


def calibrate(logits: Doubles, statistical: Doubles | None, labels: Doubles) -> Calibration:
    """Fit a slope and an intercept, and where there is a second head, its share."""
    count = int(min((labels > 0).sum(), (labels <= 0).sum()))
    if count < _ENOUGH:
        return Calibration()
    columns = [logits] if statistical is None else [logits, statistical]
    model = LogisticRegression(C=_LOOSE).fit(np.stack(columns, 1), labels)
    slopes = [round(float(slope), 4) for slope in model.coef_[0]]
    # A head that would count against itself has seen too little.
    slopes = [max(slope, 0.0) for slope in slopes]
    return Calibration(slopes[0], round(float(model.intercept_[0]), 4), slopes[1] if len(slopes) > 1 else 0.0)


def apply(calibration: Calibration, logits: Doubles, statistical: Doubles | None) -> Doubles:
    """Return the calibrated log odds."""
    odds = calibration.slope * logits + calibration.intercept
    return odds if statistical is None else odds + calibration.statistical * statistical


def operating_points(
    columns: Sequence[str],
    odds: Mapping[str, Doubles],
    *,
    warnings: Mapping[str, float],
    escalations: Mapping[str, float],
) -> dict[str, Threshold]:
    """Return the thresholds at which all columns together stay within the shares; ``odds`` are of harmless texts."""
    warn = _within(odds, warnings)
    name = np.maximum(_within(odds, escalations) + _MARGIN, warn)
    points = {}
    for place, column in enumerate(columns):
        points[column] = Threshold(_probability(warn[place]), _probability(name[place]))
    return points


def _within(odds: Mapping[str, Doubles], shares: Mapping[str, float]) -> Doubles:
    """Return for each column the lowest log odds such that the union of all columns stays within each set's share.

    Each column gets the same part of each set's share; how large that may be is found by halving.
    """
    low, high = 0.0, 1.0
    best = np.full(next(iter(odds.values())).shape[1], math.inf)
    for _ in range(20):
        part = (low + high) / 2
        bars = np.max([np.quantile(of, 1 - part * shares[name], axis=0) for name, of in odds.items()], axis=0)
        if all((of > bars).any(1).mean() <= shares[name] for name, of in odds.items()):
            low, best = part, bars
        else:
            high = part
    if not np.isfinite(best).all():
        best = np.max([of.max(0) for of in odds.values()], axis=0)
    return best


def _probability(odds: float) -> float:
    if not math.isfinite(odds):
        return NEVER
    # Rounded up: down might let one more through.
    return math.ceil(1e4 / (1 + math.exp(-odds))) / 1e4
