from __future__ import annotations

import pytest

from tta_metrics import Metrics, prometheus_text
from tta_metrics.names import prometheus_name

WRONG = {
    "tta-calls_total": "lower-case words joined by underscores",
    "tta_Calls_total": "lower-case words joined by underscores",
    "tta:calls_total": "lower-case words joined by underscores",
    "": "lower-case words joined by underscores",
    "tta_calls": "call it 'tta_calls_total'",
    "tta_wait_ms_total": "measure in 'seconds'",
    "tta_read_kb_total": "measure in 'bytes'",
    "tta_counter_total": "leave 'counter' out",
    "tta_calls_count_total": "the ending '_count'",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_name_is_refused_with_what_is_right(name: str) -> None:
    with pytest.raises(ValueError, match=WRONG[name]):
        Metrics().counter(name, "help")


@pytest.mark.parametrize("name", ["tta_calls_total", "tta_calls_bucket", "tta_calls_sum"])
def test_a_gauge_takes_no_name_of_something_else(name: str) -> None:
    with pytest.raises(ValueError, match="is kept for what a gauge is not"):
        Metrics().gauge(name, "help")


def test_a_unit_ends_the_name_and_is_a_base_unit() -> None:
    with pytest.raises(ValueError, match="call it 'tta_wait_seconds_total'"):
        Metrics().counter("tta_wait_total", "help", "seconds")
    with pytest.raises(ValueError, match="call it 'tta_wait_seconds'"):
        Metrics().histogram("tta_wait", "help")
    with pytest.raises(ValueError, match="'percent' is no base unit; measure in 'ratio'"):
        Metrics().gauge("tta_load", "help", "percent")


def test_a_metric_says_what_it_is() -> None:
    with pytest.raises(ValueError, match="say in `help`"):
        Metrics().gauge("tta_load", " ")


@pytest.mark.parametrize(
    ("labels", "why"),
    [(("le",), "Prometheus' own"), (("a", "a"), "named twice"), (("__a",), "no lower-case"), (("A-b",), "no lower")],
)
def test_a_wrong_label_is_refused(labels: tuple[str, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Metrics().gauge("tta_load", "help", labels=labels)


def test_who_sets_labels_is_not_read() -> None:
    with pytest.raises(ValueError, match="`read` gives one number"):
        Metrics().family("tta_load", "gauge", "help", labels=("a",), read=lambda: 1.0)


def test_a_figure_gets_the_name_that_prometheus_wants() -> None:
    assert prometheus_name("sessions.commits", "counter") == "tta_sessions_commits_total"
    assert prometheus_name("messages.oldest_age", "gauge", "seconds") == "tta_messages_oldest_age_seconds"
    assert prometheus_name("tool-policy.read_bytes", "counter", "bytes") == "tta_tool_policy_read_bytes_total"


def test_a_help_that_no_scrape_can_say_is_refused() -> None:
    metrics = Metrics()
    with pytest.raises(ValueError, match="half of a character"):
        metrics.gauge("tta_load", "how much \ud800")
    assert prometheus_text(metrics)
