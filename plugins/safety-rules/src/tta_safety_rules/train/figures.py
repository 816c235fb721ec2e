"""What the card says of how good a head is, measured on what was held out of the fit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.metrics import roc_auc_score

from tta_safety_rules.head import CRISES, SENTIMENT
from tta_safety_rules.scores import UNSAFE, Threshold

from .calibration import Doubles, Flags
from .lines import COLUMNS, STORY, Line
from .weighing import Heard

_HARMLESS = ("role-play", "other role-play", "everyday", "fiction", "counsel")
_FEWEST = 10


def figures_of(
    held: Sequence[Line],
    odds: Mapping[str, Doubles],
    said: Mapping[str, Heard],
    thresholds: Mapping[str, Mapping[str, Threshold]],
) -> dict[str, dict[str, float]]:
    """Return the figures by set: areas under the curve, and shares at the operating points.

    Of players' texts they are those of the whole verdict: of the rules and the head together.
    """
    figures: dict[str, dict[str, float]] = {}
    by_source: dict[str, list[Line]] = {}
    for line in held:
        by_source.setdefault(line.source, []).append(line)
    for name in _HARMLESS:
        figures[name] = {"n": len(odds[name])}
        for channel in ("player", "story"):
            warned, named = _raised(odds[name], thresholds[channel], said[name] if channel == "player" else None)
            figures[name][f"{channel}: warned of"] = round(float(warned.mean()), 5)
            figures[name][f"{channel}: a kind named"] = round(float(named.mean()), 5)
    messages = by_source.get("authored", [])
    warned, named = _raised(odds["authored"], thresholds["player"], said["authored"])
    for kind in CRISES:
        labels = np.array([line.targets[kind][0] for line in messages])
        if labels.sum() < _FEWEST:
            continue
        scores = odds["authored"][:, COLUMNS.index(kind)]
        figures[kind] = {
            "n": int(labels.sum()),
            "area against the other messages": _area(labels, scores),
            "warned of": round(float(warned[labels > 0].mean()), 3),
            "a kind named": round(float(named[labels > 0].mean()), 3),
        }
        for name in ("other role-play", "everyday", "counsel"):
            other = odds[name][:, COLUMNS.index(kind)]
            both = np.concatenate([np.ones(int(labels.sum())), np.zeros(len(other))])
            figures[kind][f"area against {name}"] = _area(both, np.concatenate([scores[labels > 0], other]))
    warned_seeds, named_seeds = _raised(odds["seeds"], thresholds["player"], said["seeds"])
    figures["crises by another hand"] = {
        "n": len(warned_seeds),
        "warned of": round(float(warned_seeds.mean()), 3),
        "a kind named": round(float(named_seeds.mean()), 3),
    }
    near = np.array([not line.targets[CRISES[-1]][0] for line in messages])
    figures["close but none"] = {
        "n": int(near.sum()),
        "warned of": round(float(warned[near].mean()), 3),
        "a kind named": round(float(named[near].mean()), 3),
    }
    told = by_source.get("story", [])
    warned, blocked = _raised(odds["story"], thresholds["story"], None)
    unsafe = np.array([line.targets[UNSAFE][0] > 0 for line in told])
    for name, these in (("unsafe replies", unsafe), ("harmless replies beside them", ~unsafe)):
        figures[name] = {
            "n": int(these.sum()),
            "warned of": round(float(warned[these].mean()), 3),
            "blocked": round(float(blocked[these].mean()), 3),
        }
    for source, columns in (("replies", STORY), ("story", STORY), ("everyday", (SENTIMENT,))):
        lines = by_source.get(source, [])
        for column in columns:
            chosen = [place for place, line in enumerate(lines) if column in line.targets]
            labels = np.array([lines[place].targets[column][0] for place in chosen])
            if chosen and _FEWEST <= labels.sum() <= len(labels) - _FEWEST:
                area = _area(labels, odds[source][chosen, COLUMNS.index(column)])
                figures.setdefault(f"{source}, {column}", {"n": len(chosen)})["area"] = area
    return figures


def _raised(odds: Doubles, thresholds: Mapping[str, Threshold], said: Heard | None) -> tuple[Flags, Flags]:
    """Return for each row whether any column reaches its warning, or a rule warns by itself, and the same of a kind."""
    probabilities = 1 / (1 + np.exp(-odds))
    warned = np.zeros(len(odds), bool) if said is None else said.warned.copy()
    named = np.zeros(len(odds), bool) if said is None else said.named.copy()
    for column, threshold in thresholds.items():
        of = probabilities[:, COLUMNS.index(column)]
        warned |= of >= threshold.warning
        named |= of >= threshold.escalate
    return warned, named


def _area(labels: np.ndarray, scores: np.ndarray) -> float:
    area = float(roc_auc_score(labels > 0, scores))
    return round(area, 4) if math.isfinite(area) else 0.0
