"""One calibrated risk by category, of what the rules and the heads say together.

A broad rule that a head contradicts is a doubt or nothing, one that a head supports counts for more than either. How
much a rule says was counted on development data, and how it is weighed against a head was fitted there; see
`tta_safety_rules.train.weighing`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from tta_safety import KINDS, Level

from .scores import CRISIS, Scores, Shares, Weighing

if TYPE_CHECKING:
    from .engine import Hit

N = TypeVar("N")
"""A number, or an array of numpy, which only training has."""
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
        risks[category] = 1 / (1 + math.exp(-min(max(odds, -_STEEP), _STEEP)))
    return risks


def log_odds(shares: Shares, own: N, any_kind: N, affirmed: N, doubtful: N) -> N:
    """Return the calibrated log odds; of arrays, an array."""
    odds: Any = (
        shares.own * cast(Any, own)
        + shares.any_kind * cast(Any, any_kind)
        + shares.affirmed * cast(Any, affirmed)
        + shares.doubtful * cast(Any, doubtful)
        + shares.intercept
    )
    return cast(N, odds)


def _odds(probability: float) -> float:
    inside = min(max(probability, _SURE), 1 - _SURE)
    return math.log(inside / (1 - inside))
