from __future__ import annotations

import math

from tta_metrics import Metrics, openmetrics_text, prometheus_text


def some() -> Metrics:
    metrics = Metrics()
    calls = metrics.counter("tta_calls_total", "calls, by what became of them", labels=("agent", "code"))
    calls.labels('q"uoted\\', "line\nbreak").inc(2)
    metrics.gauge("tta_load_ratio", "how much\nof it", "ratio").set(0.25)
    metrics.histogram("tta_call_seconds", "how long").observe(0.3)
    return metrics


def test_prometheus_gets_its_text() -> None:
    text = prometheus_text(some()).decode()
    assert "# HELP tta_calls_total calls, by what became of them\n# TYPE tta_calls_total counter\n" in text
    assert 'tta_calls_total{agent="q\\"uoted\\\\",code="line\\nbreak"} 2\n' in text
    assert "# HELP tta_load_ratio how much\\nof it\n# TYPE tta_load_ratio gauge\ntta_load_ratio 0.25\n" in text
    lines = [line for line in text.splitlines() if line.startswith("tta_call_seconds")]
    assert 'tta_call_seconds_bucket{le="0.25"} 0' in lines
    assert 'tta_call_seconds_bucket{le="0.5"} 1' in lines
    assert lines[-3:] == [
        'tta_call_seconds_bucket{le="+Inf"} 1',
        "tta_call_seconds_count 1",
        "tta_call_seconds_sum 0.3",
    ]


def test_openmetrics_names_the_family_tells_the_unit_and_ends() -> None:
    text = openmetrics_text(some()).decode()
    assert "# TYPE tta_calls counter\n# HELP tta_calls calls, by what became of them\ntta_calls_total{" in text
    assert "# TYPE tta_load_ratio gauge\n# UNIT tta_load_ratio ratio\n" in text
    assert text.endswith("# EOF\n")


def test_numbers_that_are_none_are_told_too() -> None:
    metrics = Metrics()
    gauge = metrics.gauge("tta_load", "load")
    shown = []
    for number in (math.nan, math.inf, -math.inf, 1e300, 10**20):
        gauge.set(number)
        shown += [line for line in prometheus_text(metrics).decode().splitlines() if line.startswith("tta_load ")]
    assert shown == ["tta_load nan", "tta_load inf", "tta_load -inf", "tta_load 1e+300", f"tta_load {10**20}"]


def test_a_histogram_is_rendered_anew_once_it_has_changed() -> None:
    metrics = Metrics()
    histogram = metrics.histogram("tta_call_seconds", "how long")
    histogram.observe(1)
    first = prometheus_text(metrics)
    assert prometheus_text(metrics) == first
    histogram.observe(0)
    assert "tta_call_seconds_count 2\n" in prometheus_text(metrics).decode()


def test_all_of_a_large_family_is_told() -> None:
    metrics = Metrics(label_sets=3000)
    family = metrics.counter("tta_calls_total", "calls", labels=("agent",))
    for number in range(3000):
        family.labels(str(number)).inc()
    assert prometheus_text(metrics).count(b"tta_calls_total{") == 3000
