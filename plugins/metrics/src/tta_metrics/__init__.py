"""Metrics: count, measure, and let Prometheus and others read it."""

from __future__ import annotations

from .family import OTHER, Family
from .instruments import LATENCY, SIZE, Buckets, Counter, Gauge, Histogram
from .plugin import Config, MetricsPlugin
from .registry import METRICS, Metrics
from .routes import scrape
from .text import OPENMETRICS_TYPE, PROMETHEUS_TYPE, openmetrics_text, prometheus_text
from .view import MetricsView, MetricView, Series, SnapshotView, metrics_json

__all__ = [
    "LATENCY", "METRICS", "OPENMETRICS_TYPE", "OTHER", "PROMETHEUS_TYPE", "SIZE", "Buckets", "Config", "Counter",
    "Family", "Gauge", "Histogram", "MetricView", "Metrics", "MetricsPlugin", "MetricsView", "Series",
    "SnapshotView", "metrics_json", "openmetrics_text", "prometheus_text", "scrape",
]  # fmt: skip
