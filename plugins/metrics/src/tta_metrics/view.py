"""The registry as JSON, for programs and dashboards that are no Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from .family import Family
from .instruments import Histogram
from .registry import Metrics


class Series(msgspec.Struct, frozen=True, omit_defaults=True):
    """One series: a ``value``, or of a histogram how many numbers there were, their sum, and quantiles."""

    labels: Mapping[str, str] = {}
    value: float | None = None
    count: int | None = None
    sum: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class MetricView(msgspec.Struct, frozen=True):
    """A metric with all its series."""

    name: str
    type: str
    help: str
    unit: str
    series: Sequence[Series]


class SnapshotView(msgspec.Struct, frozen=True):
    """What a plugin says of its inside, and how old that is, in seconds; ``error``: why there is nothing newer."""

    snapshot: Any = None
    age: float | None = None
    error: str = ""


class MetricsView(msgspec.Struct, frozen=True):
    """All that a process counts, and what its plugins say; ``at`` is in seconds since the epoch."""

    at: float
    metrics: Sequence[MetricView]
    plugins: Mapping[str, SnapshotView]


def views(metrics: Metrics) -> Iterator[MetricView]:
    """Yield each metric, by name, so that who needs many can take breath between two."""
    for family in metrics.families():
        yield MetricView(family.name, family.kind, family.help, family.unit, [*_series(family)])


def metrics_json(metrics: Metrics) -> bytes:
    """Render all metrics as a JSON array of `MetricView`."""
    return msgspec.json.encode([*views(metrics)])


def _series(family: Family[Any]) -> Iterator[Series]:
    for values, one in family.series().items():
        labels = dict(zip(family.label_names, values, strict=True))
        if isinstance(one, Histogram):
            p50, p95, p99 = one.quantiles(0.5, 0.95, 0.99)
            yield Series(labels, None, one.count, one.sum, p50, p95, p99)
        else:
            yield Series(labels, one.value)
