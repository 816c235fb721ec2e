"""The figures of an evaluation, against values that are known."""

from __future__ import annotations

import random

import pytest

from tta_safety_rules.evaluate.measures import area, curve, quantile, recall_at, share


def test_wilsons_interval_is_as_in_the_textbooks() -> None:
    measure = share(8, 10)
    assert measure is not None
    assert (measure.value, measure.n) == (0.8, 10)
    assert measure.low == pytest.approx(0.4902, abs=1e-4)
    assert measure.high == pytest.approx(0.9433, abs=1e-4)


def test_a_share_of_none_is_no_share_and_its_interval_stays_between_0_and_1() -> None:
    assert share(0, 0) is None
    none = share(0, 50)
    everything = share(50, 50)
    assert none is not None
    assert everything is not None
    assert none.low == 0.0
    assert none.high == pytest.approx(0.0714, abs=1e-3)
    assert everything.high == 1.0


def test_an_area_counts_how_often_a_positive_is_above_a_negative_and_ties_half() -> None:
    measure = area([0.9, 0.5], [0.5, 0.1])
    assert measure is not None
    assert measure.value == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert measure.low <= measure.value <= measure.high


def test_an_areas_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    dice = random.Random(7)
    truth = 0.7602  # of two normal distributions that are one standard deviation apart
    held = 0
    for _ in range(200):
        measure = area([dice.gauss(1, 1) for _ in range(60)], [dice.gauss(0, 1) for _ in range(80)])
        assert measure is not None
        held += measure.low <= truth <= measure.high
    assert 0.9 <= held / 200 <= 0.99


def test_an_area_without_a_mistake_is_not_said_to_be_certain() -> None:
    measure = area([0.9] * 20, [0.1] * 20)
    assert measure is not None
    assert measure.value == measure.high == 1.0
    assert measure.low < 0.9
    worst = area([0.1] * 20, [0.9] * 20)
    assert worst is not None
    assert worst.value == 0.0
    assert worst.high > 0.1
    assert area([], [0.1]) is None


def test_recall_at_a_rate_lets_no_more_through_than_the_rate() -> None:
    negative = [each / 100 for each in range(100)]
    measure = recall_at([0.96, 0.94, 0.5, 0.97], negative, 0.05)
    assert measure is not None
    assert measure.value == 0.5
    ties = recall_at([0.5, 0.5], [0.5] * 10, 0.05)
    assert ties is not None
    assert ties.value == 0.0
    everything = recall_at([0.0], negative, 1.0)
    assert everything is not None
    assert everything.value == 1.0


def test_a_curve_runs_from_nothing_to_everything() -> None:
    points = curve([0.9, 0.4], [0.6, 0.1])
    assert points[0] == (0.0, 0.0)
    assert points[-1] == (1.0, 1.0)
    assert (0.0, 0.5) in points
    assert points == sorted(points)


def test_a_quantile_of_one_value_is_the_value() -> None:
    assert quantile([3.0], 0.99) == 3.0
    assert quantile([1.0, 2.0, 3.0], 0.5) == 2.0
