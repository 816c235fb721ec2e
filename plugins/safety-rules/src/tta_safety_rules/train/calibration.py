"""From a head's logits to probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from tta_safety_rules.weights import Calibration

Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]
_ENOUGH = 8
_LOOSE = 1e3


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
