"""The solver under the heads, against scikit-learn's, and what training makes of a few lines."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from tta_safety_rules.sums import Sums
from tta_safety_rules.train.calibration import calibrate
from tta_safety_rules.train.lines import Line, part_of, player_targets
from tta_safety_rules.train.points import operating_points
from tta_safety_rules.train.solver import Rows, solve
from tta_safety_rules.train.statistical import fit, quantise


def some_rows(count: int = 300) -> tuple[Rows, np.ndarray, np.ndarray]:
    dice = np.random.default_rng(5)
    sparse = sp.random(count, 40, 0.2, format="csr", dtype=np.float32, random_state=dice)
    dense = dice.normal(size=(count, 5)).astype(np.float32)
    labels = (dense[:, :2] + sparse[:, :2].toarray() + dice.normal(size=(count, 2)) > 0.3).astype(np.float32)
    weights = dice.uniform(0, 2, (count, 2)).astype(np.float32)
    return Rows(sparse, dense), labels, weights


def test_all_columns_at_once_are_as_each_by_itself() -> None:
    rows, labels, weights = some_rows()
    solution, biases = solve(rows, labels, weights, 2.0)
    both = sp.hstack([rows.sparse, sp.csr_matrix(rows.dense)]).tocsr()
    for column in range(2):
        model = LogisticRegression(C=2.0, max_iter=2000, tol=1e-8)
        model.fit(both, labels[:, column], sample_weight=weights[:, column])
        np.testing.assert_allclose(solution[:, column], model.coef_[0], atol=0.02)
        assert biases[column] == pytest.approx(model.intercept_[0], abs=0.02)


def test_the_same_rows_give_the_same_bytes() -> None:
    rows, labels, weights = some_rows()
    one, other = (solve(rows, labels, weights, 1.0)[0].tobytes() for _ in range(2))
    assert one == other


def test_a_fit_tells_what_it_learned_from_what_it_did_not() -> None:
    words = ["gloomy", "sunny", "dragon", "night", "day"]
    vectors = np.eye(5, 200, dtype=np.float32)
    lines = [Line(f"such a gloomy {word}", "x", player_targets("suicide", 1)) for word in words for _ in range(4)]
    lines += [Line(f"such a sunny {word}", "x", player_targets("none", 0)) for word in words for _ in range(4)]
    weights = quantise(fit(lines, words, vectors))
    assert quantise(fit(lines, words, vectors)) == weights
    sums = Sums(weights, ["suicide"])
    gloomy, sunny = (sums.read([word])[0][0][0] for word in ("gloomy", "sunny"))
    assert gloomy > sunny


def test_operating_points_keep_all_columns_together_within_the_share() -> None:
    dice = np.random.default_rng(1)
    odds = {"a": dice.normal(size=(2000, 3)), "b": dice.normal(-1, 2, (500, 3))}
    shares = {"a": 0.01, "b": 0.05}
    wanted = dice.normal(2, 2, (300, 3))
    points = operating_points("xyz", odds, wanted, warnings=shares, escalations={"a": 0.001, "b": 0.0})
    for name, of in odds.items():
        probabilities = 1 / (1 + np.exp(-of))
        warned = np.any([probabilities[:, place] >= points[it].warning for place, it in enumerate("xyz")], axis=0)
        named = np.any([probabilities[:, place] >= points[it].escalate for place, it in enumerate("xyz")], axis=0)
        assert warned.mean() <= shares[name]
        assert named.mean() <= 0.001
    assert max(it.warning for it in points.values()) < 1
    found = np.any([1 / (1 + np.exp(-wanted[:, at])) >= points[it].warning for at, it in enumerate("xyz")], axis=0)
    assert found.mean() > 0.2


def test_one_odd_text_of_a_small_set_hides_no_column() -> None:
    odds = {"a": np.zeros((1000, 2)), "b": np.zeros((200, 2))}
    odds["b"][0, 1] = 9.0
    wanted = np.array([[-1.0, 5.0]] * 20)
    points = operating_points("xy", odds, wanted, warnings={"a": 0.0, "b": 0.01}, escalations={"a": 0.0, "b": 0.0})
    assert points["y"].warning < 0.996 < points["y"].escalate


def test_a_calibration_of_too_few_examples_changes_nothing() -> None:
    calibration = calibrate(np.array([1.0, -1.0]), None, np.array([1.0, 0.0]))
    assert (calibration.slope, calibration.intercept) == (1.0, 0.0)


def test_what_tunes_and_what_measures_are_about_a_fifth_each_and_always_the_same() -> None:
    parts = [part_of(f"line:{number}") for number in range(2000)]
    assert all(0.15 < parts.count(part) / 2000 < 0.25 for part in ("tune", "held"))
    assert parts == [part_of(f"line:{number}") for number in range(2000)]
