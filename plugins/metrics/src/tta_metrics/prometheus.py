"""For programs that have `prometheus_client`: a collector that reads our registry. Needs the extra ``prometheus``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from .family import Family
from .instruments import Histogram
from .registry import Metrics


class RegistryCollector(Collector):
    """Tells `prometheus_client` what we count: ``registry.register(RegistryCollector(metrics))``.

    Its own process collector tells ``process_*``, too: leave those out here with ``process=False``, where both are
    in one registry.
    """

    def __init__(self, metrics: Metrics, *, process: bool = True) -> None:
        self._metrics = metrics
        self._process = process

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics as they are now; in the event loop's thread, as all that reads them."""
        for family in self._metrics.families():
            if self._process or not family.name.startswith("process_"):
                yield _metric(family)


def _metric(family: Family[Any]) -> Metric:
    labels = family.label_names
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help, labels=labels)
        for values, one in family.series().items():
            histogram.add_metric(values, _buckets(one), one.sum)
        return histogram
    metric: CounterMetricFamily | GaugeMetricFamily
    if family.kind == "counter":
        metric = CounterMetricFamily(family.name, family.help, labels=labels)
    else:
        metric = GaugeMetricFamily(family.name, family.help, labels=labels)
    for values, one in family.series().items():
        metric.add_metric(values, one.value)
    return metric


def _buckets(one: Histogram) -> list[tuple[str, float]]:
    bounds = [*map(repr, one.buckets.shown), "+Inf"]
    return [*zip(bounds, map(float, one.cumulative()), strict=True)]
