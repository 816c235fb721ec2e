"""The registry as Prometheus reads it: text format 0.0.4, and OpenMetrics 1.0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .family import Family, escaped
from .instruments import Counter, Gauge, Histogram
from .registry import Metrics

PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_END = "# EOF\n"
_AT_ONCE = 50
"""Series in one piece of text, so that who renders many can take breath between two."""


def prometheus_text(metrics: Metrics) -> bytes:
    """Render all metrics in the text format that any Prometheus reads."""
    return "".join(pieces(metrics)).encode()


def openmetrics_text(metrics: Metrics) -> bytes:
    """Render all metrics as OpenMetrics, for who asks for that."""
    return "".join(pieces(metrics, openmetrics=True)).encode()


def pieces(metrics: Metrics, *, openmetrics: bool = False) -> Iterator[str]:
    """Render all metrics piece by piece, each in much less than a millisecond."""
    for family in metrics.families():
        yield _openmetrics_header(family) if openmetrics else _header(family)
        series = [*family.series().values()]
        render = _histogram if family.kind == "histogram" else _line
        for first in range(0, len(series), _AT_ONCE):
            yield "".join([render(one) for one in series[first : first + _AT_ONCE]])
    if openmetrics:
        yield _END


def _header(family: Family[Any]) -> str:
    help = family.help.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {family.name} {help}\n# TYPE {family.name} {family.kind}\n"


def _openmetrics_header(family: Family[Any]) -> str:
    name = family.name.removesuffix("_total") if family.kind == "counter" else family.name
    unit = f"# UNIT {name} {family.unit}\n" if family.unit else ""
    return f"# TYPE {name} {family.kind}\n{unit}# HELP {name} {escaped(family.help)}\n"


def _line(one: Counter | Gauge) -> str:
    # What is infinite or no number is told as Python tells it: Prometheus reads these in any case.
    return one.template % one.value


def _histogram(one: Histogram) -> str:
    if one.counts != one.told:
        one.told = one.counts.copy()
        counts = [*one.cumulative()]
        one.text = one.template % (*counts, counts[-1], one.sum)
    return one.text
