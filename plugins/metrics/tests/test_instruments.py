from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_metrics import LATENCY, OTHER, SIZE, Buckets, Counter, Gauge, Histogram, Metrics, prometheus_text

TOO_LARGE = [pytest.param(10**digits, id=f"{digits} digits") for digits in (400, 5000)]
"""Whole numbers that no float holds; Python writes only the first."""


def test_a_counter_only_grows() -> None:
    counter = Counter()
    counter.inc()
    counter.inc(2.5)
    with pytest.raises(ValueError, match="a counter only grows"):
        counter.inc(-1)
    assert counter.value == 3.5


def test_a_counter_takes_nothing_that_is_no_number() -> None:
    """open-telemetry/opentelemetry-specification#1936: after one NaN it was none for good.

    And OpenMetrics allows none in counters, so that the whole scrape was refused.
    """
    counter = Counter()
    for amount in (math.nan, math.inf, 10**400, 10**5000):
        with pytest.raises(ValueError, match="a counter only grows"):
            counter.inc(amount)
    assert counter.value == 0


def test_a_gauge_goes_up_and_down_and_takes_a_truth_for_a_number() -> None:
    gauge = Gauge()
    gauge.set(5)
    gauge.inc()
    gauge.dec(2)
    assert gauge.value == 4
    gauge.set(True)
    assert repr(gauge.value) == "1"


@pytest.mark.parametrize("number", TOO_LARGE)
def test_a_gauge_takes_no_number_that_is_too_long_to_be_told(number: int) -> None:
    metrics = Metrics()
    gauge = metrics.gauge("load", "how much there is to do")
    for change in (gauge.set, gauge.inc, gauge.dec):
        with pytest.raises(ValueError, match="too large"):
            change(number)
    gauge.set(10**300)
    with pytest.raises(ValueError, match="too large"):
        gauge.inc(2 * 10**308)
    assert f"load {10**300}\n" in prometheus_text(metrics).decode()
    gauge.set(0.5)
    with pytest.raises(ValueError, match="too large"):
        gauge.inc(number)
    gauge.set(-math.inf)
    gauge.inc(5)
    assert gauge.value == -math.inf


@pytest.mark.parametrize("number", [-0.1, -math.inf, math.nan, math.inf, 1e301, *TOO_LARGE])
def test_a_histogram_takes_numbers_from_0_up(number: float) -> None:
    histogram = Histogram()
    with pytest.raises(ValueError, match="from 0 up"):
        histogram.observe(number)
    assert (histogram.count, histogram.sum) == (0, 0.0)


@pytest.mark.parametrize("buckets", [LATENCY, SIZE])
@given(st.lists(st.floats(0, 1, exclude_min=True), min_size=1, max_size=200), st.floats(0.01, 1))
def test_a_quantile_is_at_most_a_32nd_off(buckets: Buckets, shares: list[float], share: float) -> None:
    low, high = buckets.bounds[0], buckets.bounds[-1]
    numbers = sorted(low + each * (high - low) for each in shares)
    histogram = Histogram(buckets)
    for each in numbers:
        histogram.observe(each)
    exact = numbers[max(0, math.ceil(share * len(numbers)) - 1)]
    assert histogram.quantiles(share)[0] == pytest.approx(exact, rel=1 / 32)


@given(st.lists(st.floats(0, 1e4), max_size=100))
def test_a_scrape_tells_exactly_how_many_were_up_to_each_bound(numbers: list[float]) -> None:
    histogram = Histogram()
    for each in [*numbers, *LATENCY.shown]:
        histogram.observe(each)
    counted = [*histogram.cumulative()]
    everything = [*numbers, *LATENCY.shown]
    assert counted == [*(sum(each <= bound for each in everything) for bound in LATENCY.shown), len(everything)]


def test_what_is_beyond_the_bounds_is_counted_as_the_least_or_the_most() -> None:
    histogram = Histogram()
    assert histogram.quantiles(0.5)[0] == 0.0
    histogram.observe(0)
    assert histogram.quantiles(0.5)[0] == 0.0
    histogram.observe(1e-9)
    assert histogram.quantiles(1.0)[0] == LATENCY.bounds[0]
    for _ in range(3):
        histogram.observe(1e9)
    assert histogram.quantiles(0.95)[0] == LATENCY.bounds[-1]
    assert [*histogram.cumulative()][-2:] == [2, 5]


def test_labels_return_the_same_series_again() -> None:
    family = Metrics().counter("tta_calls_total", "calls", labels=("agent", "code"))
    one = family.labels("tide", "failed")
    one.inc()
    assert family.labels("tide", "failed") is one
    assert family.labels("tide", "") is not one
    assert {values: each.value for values, each in family.series().items()} == {("tide", "failed"): 1, ("tide", ""): 0}


def test_what_comes_after_the_limit_is_one_series_and_counted() -> None:
    metrics = Metrics(label_sets=3)
    family = metrics.histogram("tta_call_seconds", "calls", labels=("who",))
    for number in range(10):
        family.labels(f"who-{number}").observe(1.0)
    family.labels("who-1").observe(1.0)
    counts = {values: each.count for values, each in family.series().items()}
    assert counts == {("who-0",): 1, ("who-1",): 2, ("who-2",): 1, (OTHER,): 7}
    assert 'tta_metrics_overflow_total{metric="tta_call_seconds"} 7\n' in prometheus_text(metrics).decode()


def test_replaced_numbers_are_bounded_too_and_those_not_named_go() -> None:
    metrics = Metrics(label_sets=2)
    family = metrics.gauge("tta_waiting", "waiting", labels=("queue",))
    family.replace({("a",): 1, ("b",): 2, ("c",): 3, ("d",): 4})
    assert {values: each.value for values, each in family.series().items()} == {("a",): 1, ("b",): 2, (OTHER,): 7}
    family.replace({("b",): 5})
    assert {values: each.value for values, each in family.series().items()} == {("b",): 5}


def test_a_label_shows_no_secret_and_is_of_bearable_length() -> None:
    family = Metrics(secrets=("hunter2",)).counter("tta_calls_total", "calls", labels=("agent",))
    for value in ("is-hunter2", "x" * 1000, "half\ud800"):
        family.labels(value).inc()
        family.labels(value).inc()
    values = {values[0]: each.value for values, each in family.series().items()}
    assert values == {"is-<redacted>": 2, "x" * 120: 2, "half\\ud800": 2}


def test_labels_are_text_and_as_many_as_declared() -> None:
    family = Metrics().counter("tta_calls_total", "calls", labels=("agent", "code"))
    with pytest.raises(ValueError, match="has the labels"):
        family.labels("tide")
    with pytest.raises(TypeError, match="is text"):
        family.labels("tide", None)  # type: ignore[arg-type]


def test_a_metric_that_is_asked_for_again_is_the_same() -> None:
    metrics = Metrics()
    one = metrics.counter("tta_calls_total", "calls")
    assert metrics.counter("tta_calls_total", "calls, said otherwise") is one
    assert metrics.find("tta_calls_total") is not None
    with pytest.raises(ValueError, match="is there already, as"):
        metrics.counter("tta_calls_total", "calls", labels=("agent",))
    metrics.remove("tta_calls_total")
    assert metrics.counter("tta_calls_total", "calls") is not one
