"""One calibrated risk by category, of what the rules and the heads say together.

A broad rule that a head contradicts is a doubt or nothing, one that a head supports counts for more than either. How
much a rule says was counted on development data, and how it is weighed against a head was fitted there; see
`tta_safety_rules.train.weighing`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tta_safety import KINDS, Level

from .scores import CRISIS, Scores, Shares, Weighing

if TYPE_CHECKING:
    from .engine import Hit

Number = Any
"""A float, or an array of numpy, which only training has."""
_STEEP = 30.0
_SURE = 1e-9


class Told(NamedTuple):
    """The most that a rule tells of a category: where its match is affirmed, and where its context leaves a doubt."""

    affirmed: float = 0.0
    doubtful: float = 0.0


_NOTHING = Told()


def told_by_rules(matches: Iterable[tuple[Hit, Level]], evidence: Mapping[str, float]) -> dict[str, Told]:
    """Return what rules tell of each kind of crisis, and of any; a match that context makes safe tells nothing."""
    told: dict[str, Told] = {}
    for hit, level in matches:
        counts = evidence.get(hit.rule.reference)
        if counts is None or level == "safe" or hit.rule.category not in KINDS:
            continue
        more = Told(0.0, counts) if hit.circumstances.modifiers else Told(counts, 0.0)
        for category in (hit.rule.category, CRISIS):
            before = told.get(category, _NOTHING)
            told[category] = Told(max(before.affirmed, more.affirmed), max(before.doubtful, more.doubtful))
    return told


def weighed(weighing: Weighing, scores: Scores, told: Mapping[str, Told]) -> dict[str, float]:
    """Return the risk of each kind of crisis, and of any of them."""
    any_kind = _odds(scores.risks.get(CRISIS, 0.0))
    risks = {}
    for category, shares in weighing.shares.items():
        by_rules = told.get(category, _NOTHING)
        odds = log_odds(shares, _odds(scores.risks.get(category, 0.0)), any_kind, by_rules.affirmed, by_rules.doubtful)
        risks[category] = 1 / (1 + math.exp(-odds if -_STEEP < odds < _STEEP else math.copysign(_STEEP, -odds)))
    return risks


def log_odds(shares: Shares, own: Number, any_kind: Number, affirmed: Number, doubtful: Number) -> Number:
    """Return the calibrated log odds; of arrays, an array."""
    return (
        shares.own * own
        + shares.any_kind * any_kind
        + shares.affirmed * affirmed
        + shares.doubtful * doubtful
        + shares.intercept
    )


def _odds(probability: float) -> float:
    if not _SURE < probability < 1 - _SURE:
        probability = _SURE if probability < 0.5 else 1 - _SURE
    return math.log(probability / (1 - probability))
