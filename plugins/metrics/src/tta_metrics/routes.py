"""What is asked for over HTTP: the registry, as JSON and as Prometheus reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from time import perf_counter, time
from typing import TypeVar

import anyio.lowlevel

from tta_http import Handler, Media, Route

from .registry import Metrics
from .snapshots import Snapshots
from .text import OPENMETRICS_TYPE, PROMETHEUS_TYPE, pieces
from .view import MetricsView, MetricView, Series, SnapshotView, views

T = TypeVar("T")

BREATH = 0.001
"""Seconds of rendering after which the event loop gets its turn."""


async def scrape(metrics: Metrics, type: str = PROMETHEUS_TYPE) -> bytes:
    """Render what Prometheus scrapes, as one of the two types; nobody is awaited for it but the event loop."""
    found = pieces(metrics, openmetrics=type == OPENMETRICS_TYPE)
    return "".join([piece async for piece in _leisurely(found)]).encode()


async def show(metrics: Metrics, snapshots: Snapshots) -> MetricsView:
    """Return all metrics, and what plugins said last of their insides."""
    now = time()
    plugins = {
        name: SnapshotView(each.content, max(0.0, now - each.at) if each.at else None, each.error)
        for name, each in snapshots.latest.items()
    }
    return MetricsView(now, [view async for view in _leisurely(views(metrics))], plugins)


def routes_of(prometheus: Handler, json: Handler) -> Sequence[Route]:
    """Declare the routes that these handlers answer."""
    return (
        Route(
            method="GET",
            path="/metrics",
            permission="metrics:read",
            summary="all that the process counts, and what plugins say of their insides",
            response=MetricsView,
            handler=json,
            example=_EXAMPLE,
        ),
        Route(
            method="GET",
            path="/metrics-prom",
            permission="metrics:read",
            summary="all that the process counts, as Prometheus reads it; as OpenMetrics for who asks for that",
            response=Media((PROMETHEUS_TYPE, OPENMETRICS_TYPE)),
            handler=prometheus,
        ),
    )


_EXAMPLE = MetricsView(
    1_790_000_000.5,
    [
        MetricView("tta_plugin_up", "gauge", "1 while the plugin runs", "", [Series({"plugin": "sessions"}, 1)]),
        MetricView(
            "tta_agents_call_seconds",
            "histogram",
            "how long calls of agents took",
            "seconds",
            [Series({"agent": "narrative-generator"}, None, 20, 0.5, 0.02, 0.04, 0.06)],
        ),
    ],
    {"sessions-memory": SnapshotView({"sessions.commits": 20, "sessions.conflicts": 0}, 2.5)},
)


async def _leisurely(items: Iterable[T]) -> AsyncIterator[T]:
    """Iterate, and let the event loop have its turn every millisecond."""
    began = perf_counter()
    for item in items:
        yield item
        if perf_counter() - began > BREATH:
            await anyio.lowlevel.checkpoint()
            began = perf_counter()
