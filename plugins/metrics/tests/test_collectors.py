"""What prometheus_client and OpenTelemetry's SDK read of our registry is what it counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from tta_metrics import Metrics, openmetrics_text, prometheus_text
from tta_metrics.opentelemetry import Instruments
from tta_metrics.prometheus import RegistryCollector

Sample = tuple[str, tuple[tuple[str, str], ...]]


def some() -> Metrics:
    metrics = Metrics()
    calls = metrics.counter("tta_calls_total", 'calls, "quoted" and\nbroken', labels=("agent", "code"))
    calls.labels('q"uoted\\', "line\nbreak").inc(2)
    calls.labels("tide", "").inc(0.5)
    metrics.gauge("tta_load_ratio", "how much", "ratio").set(0.25)
    seconds = metrics.histogram("tta_call_duration_seconds", "how long", labels=("agent",))
    for number in (0.0, 0.003, 0.3, 1e6):
        seconds.labels("tide").observe(number)
    metrics.gauge("process_open_fds", "files", read=lambda: 7)
    metrics.gauge("tta_broken", "can't be read", read=lambda: 1 / 0)
    return metrics


def samples(families: Iterable[Any]) -> Mapping[Sample, float]:
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }
    return {key: value for key, value in found.items() if not key[0].startswith("tta_metrics_")}


def test_both_texts_are_read_as_the_same_numbers() -> None:
    metrics = some()
    plain = samples(parse(prometheus_text(metrics).decode()))
    assert plain == samples(parse_openmetrics(openmetrics_text(metrics).decode()))  # type: ignore[no-untyped-call]
    assert plain["tta_calls_total", (("agent", 'q"uoted\\'), ("code", "line\nbreak"))] == 2
    assert plain["tta_call_duration_seconds_bucket", (("agent", "tide"), ("le", "0.5"))] == 3


def test_prometheus_client_tells_what_we_tell() -> None:
    metrics = some()
    registry = CollectorRegistry()
    registry.register(RegistryCollector(metrics))
    theirs = samples(parse(generate_latest(registry).decode()))
    assert theirs == samples(parse(prometheus_text(metrics).decode()))
    without = CollectorRegistry()
    without.register(RegistryCollector(metrics, process=False))
    assert b"process_" not in generate_latest(without)


def test_opentelemetry_observes_what_we_count() -> None:
    metrics = some()
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    instruments = Instruments(metrics, provider.get_meter("tta"))
    metrics.gauge("tta_late", "came later").set(3)
    assert "tta_late" not in observed(reader)
    instruments.refresh()
    found = observed(reader)
    assert found["tta_calls"] == {
        (("agent", 'q"uoted\\'), ("code", "line\nbreak")): 2,
        (("agent", "tide"), ("code", "")): 0.5,
    }
    assert (found["tta_load_ratio"], found["tta_late"], found["process_open_fds"]) == ({(): 0.25}, {(): 3}, {(): 7})
    assert found["tta_call_duration_seconds.count"] == {(("agent", "tide"),): 4}
    assert found["tta_call_duration_seconds.sum"] == {(("agent", "tide"),): pytest.approx(1e6 + 0.303)}
    median = found["tta_call_duration_seconds.quantile"][("agent", "tide"), ("quantile", "0.5")]
    assert median == pytest.approx(0.003, rel=1 / 32)
    assert "tta_broken" not in found
    metrics.remove("tta_late")
    assert "tta_late" not in observed(reader)
    provider.shutdown()


def observed(reader: InMemoryMetricReader) -> dict[str, Any]:
    data: Any = reader.get_metrics_data()
    found = [
        metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
    ]
    return {
        metric.name: {tuple(sorted(point.attributes.items())): point.value for point in metric.data.data_points}
        for metric in found
    }
