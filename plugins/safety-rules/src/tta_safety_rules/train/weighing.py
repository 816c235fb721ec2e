"""How sharp each rule is, and how much rules and heads count beside each other, by development data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression

from tta_safety import KINDS, Level
from tta_safety_rules.engine import Engine, Hit
from tta_safety_rules.folding import fold
from tta_safety_rules.head import CRISES
from tta_safety_rules.policy import kind_of, level_of
from tta_safety_rules.scores import CRISIS, Shares
from tta_safety_rules.weighing import log_odds, told_by_rules

from .calibration import Doubles, Flags
from .lines import COLUMNS, Line

Matches = Sequence[tuple[Hit, Level]]
_PER = 1000
"""Matches are counted in so many texts; one more is added to each count, for what was never seen."""
_STRENGTH = 10.0
_BROAD = 1.0
"""A rule that matches in more of a thousand harmless texts than this is broad: heads may contradict it."""


class Heard(NamedTuple):
    """What the rules say of texts: of each category affirmed and doubtful, and what stands whatever a head says."""

    affirmed: Doubles
    doubtful: Doubles
    warned: Flags
    named: Flags


def matches_of(engine: Engine, texts: Sequence[str]) -> list[Matches]:
    """Return what rules find in players' texts."""
    found: list[Matches] = []
    for text in texts:
        hits = engine.search(fold(text), "player")
        found.append([(hit, level_of(hit, "player")) for hit in hits if not hit.rule.shadow])
    return found


def sharpness(
    lines: Sequence[Line], matches: Sequence[Matches], games: Sequence[Matches]
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return for each rule by how much more often it matches in its kind of crisis than in harmless texts; the broad.

    It is the log of the quotient of both rates. Each set of harmless texts counts as much as another, however long.
    """
    harmless: dict[str, list[Matches]] = {"role-play": list(games)}
    crises: dict[str, list[Matches]] = {kind: [] for kind in KINDS}
    for line, found in zip(lines, matches, strict=True):
        if line.source not in _COUNTED:
            continue
        if not line.targets[CRISIS][0]:
            harmless.setdefault(line.source, []).append(found)
        else:
            for kind in KINDS:
                if line.targets[kind][0]:
                    crises[kind].append(found)
    wrong: dict[str, float] = {}
    for members in harmless.values():
        for name, share in _shares(members).items():
            wrong[name] = wrong.get(name, 0.0) + share / len(harmless)
    right = {kind: _shares(members) for kind, members in crises.items()}
    rules = {hit.rule.reference: hit.rule.category for found in (*matches, *games) for hit, _ in found}
    sharp = {
        name: round(max(math.log((right[kind].get(name, 0.0) + 1) / (wrong.get(name, 0.0) + 1)), 0.0), 3)
        for name, kind in sorted(rules.items())
        if kind in KINDS
    }
    return sharp, tuple(name for name in sharp if wrong.get(name, 0.0) > _BROAD)


_COUNTED = ("authored", "everyday", "fiction", "counsel")


def _shares(members: Sequence[Matches]) -> dict[str, float]:
    """Return in how many of a thousand texts each rule has a match that context doesn't make safe."""
    seen: Counter[str] = Counter()
    for found in members:
        seen.update({hit.rule.reference for hit, level in found if level != "safe"})
    return {name: _PER * count / max(len(members), 1) for name, count in seen.items()}


def heard(
    engine: Engine,
    matches: Sequence[Matches],
    rules: Mapping[str, float],
    broad: Collection[str],
    sentiment: Doubles,
) -> Heard:
    """Return what rules of a known sharpness say; ``sentiment`` is in log odds, since some rules look at it alone."""
    affirmed = np.zeros((len(matches), len(CRISES)))
    doubtful = np.zeros_like(affirmed)
    warned, named = np.zeros(len(matches), bool), np.zeros(len(matches), bool)
    for row, found in enumerate(matches):
        for category, told in told_by_rules(found, rules).items():
            place = CRISES.index(category)
            affirmed[row, place], doubtful[row, place] = told
        for hit, level in found:
            measured = hit.rule.reference in rules
            warned[row] |= level != "safe" and (hit.rule.floor or hit.rule.reference not in broad)
            stands = not measured or (hit.rule.floor and level == "blocked")
            named[row] |= stands and bool(kind_of(hit, level, "player"))
    for rule in engine.sentiment:
        if "player" in rule.channels and not rule.shadow:
            warned |= np.tanh(sentiment / 2) <= -rule.sensitivity
    return Heard(affirmed, doubtful, warned, named)


def fit_shares(lines: Sequence[Line], odds: Doubles, said: Heard) -> dict[str, Shares]:
    """Fit how much each voice counts: alike for all kinds, since some have few lines, and by itself for any kind."""
    kinds = [_rows(lines, odds, said, kind) for kind in KINDS]
    # For any kind of crisis, what the head says of it is its own column.
    any_kind, labels, weights = _rows(lines, odds, said, CRISIS)
    any_kind[:, 1] = 0.0
    shared = _fit(*(np.concatenate(parts) for parts in zip(*kinds, strict=True)))
    return {**dict.fromkeys(KINDS, shared), CRISIS: _fit(any_kind, labels, weights)}


def _rows(lines: Sequence[Line], odds: Doubles, said: Heard, category: str) -> tuple[Doubles, Doubles, Doubles]:
    """Return what is read, the label, and how much a line counts."""
    chosen = [row for row, line in enumerate(lines) if category in line.targets and line.source in _COUNTED]
    targets = np.array([lines[row].targets[category] for row in chosen])
    place = CRISES.index(category)
    columns = [
        odds[chosen, COLUMNS.index(category)], odds[chosen, COLUMNS.index(CRISIS)],
        said.affirmed[chosen, place], said.doubtful[chosen, place],
    ]  # fmt: skip
    return np.stack(columns, 1), targets[:, 0], targets[:, 1]


def _fit(read: Doubles, labels: Doubles, weights: Doubles) -> Shares:
    model = LogisticRegression(C=_STRENGTH).fit(read, labels, weights)
    # A voice that would count against what it says has been heard too seldom.
    own, any_kind, affirmed, doubtful = (round(max(float(slope), 0.0), 4) for slope in model.coef_[0])
    return Shares(own, any_kind, affirmed, doubtful, round(float(model.intercept_[0]), 4))


def weighed_odds(shares: Mapping[str, Shares], odds: Doubles, said: Heard) -> Doubles:
    """Return the log odds with those of the kinds of crisis, and of any, as rules and head give them together."""
    found = odds.copy()
    any_kind = odds[:, COLUMNS.index(CRISIS)]
    for place, category in enumerate(CRISES):
        column = COLUMNS.index(category)
        found[:, column] = log_odds(
            shares[category], odds[:, column], any_kind, said.affirmed[:, place], said.doubtful[:, place]
        )
    return found
