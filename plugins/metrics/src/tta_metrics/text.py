"""The registry as Prometheus reads it: text format 0.0.4, and OpenMetrics 1.0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .family import Family, Instrument, escaped
from .instruments import Histogram
from .registry import Metrics

PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_END = "# EOF\n"
_LINES = 500
"""Series in one piece of text, so that who renders a long one can take breath between two."""


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
        lines: list[str] = []
        for one in tuple(family.series().values()):
            lines += _rendered(one)
            if len(lines) >= _LINES:
                yield "".join(lines)
                lines.clear()
        yield "".join(lines)
    if openmetrics:
        yield _END


def _header(family: Family[Any]) -> str:
    help = family.help.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {family.name} {help}\n# TYPE {family.name} {family.kind}\n"


def _openmetrics_header(family: Family[Any]) -> str:
    name = family.name.removesuffix("_total") if family.kind == "counter" else family.name
    unit = f"# UNIT {name} {family.unit}\n" if family.unit else ""
    return f"# TYPE {name} {family.kind}\n{unit}# HELP {name} {escaped(family.help)}\n"


def _rendered(one: Instrument) -> Iterator[str]:
    if not isinstance(one, Histogram):
        yield f"{one.prefixes[0]}{_number(one.value)}\n"
        return
    if one.text is None:
        counts = [*one.cumulative()]
        numbers = [*counts, counts[-1], _number(one.sum)]
        one.text = "".join(f"{prefix}{number}\n" for prefix, number in zip(one.prefixes, numbers, strict=True))
    yield one.text


def _number(value: float) -> str:
    if value - value == 0:
        return str(value)
    return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"
