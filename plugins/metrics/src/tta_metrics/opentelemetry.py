"""For programs that have OpenTelemetry's SDK: observable instruments. Needs the extra ``opentelemetry``.

An SDK's own instruments cost fifty times as much at each count; observable ones are asked when somebody exports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from .family import Family
from .registry import Metrics

_QUANTILES = (0.5, 0.95, 0.99)
_Tell = Callable[[Family[Any]], Iterable[Observation]]
_Callback = Callable[[CallbackOptions], Iterable[Observation]]


class Instruments:
    """Observable instruments for all metrics; what comes later is added by `refresh`.

    OpenTelemetry has no histogram that is observed, so one is two counters, its count and its sum, and a gauge of
    quantiles.
    """

    def __init__(self, metrics: Metrics, meter: Meter) -> None:
        self._metrics = metrics
        self._meter = meter
        self._added: set[str] = set()
        self.refresh()

    def refresh(self) -> None:
        """Add instruments for metrics that came since."""
        for family in self._metrics.families():
            if family.name not in self._added:
                self._added.add(family.name)
                self._add(family)

    def _add(self, family: Family[Any]) -> None:
        name, unit, help = family.name, _unit(family.unit), family.help
        if family.kind == "histogram":
            self._meter.create_observable_counter(f"{name}.count", [self._observing(name, _counts)], "1", help)
            self._meter.create_observable_counter(f"{name}.sum", [self._observing(name, _sums)], unit, help)
            self._meter.create_observable_gauge(f"{name}.quantile", [self._observing(name, _quantiles)], unit, help)
        elif family.kind == "counter":
            plain = name.removesuffix("_total")
            self._meter.create_observable_counter(plain, [self._observing(name, _values)], unit, help)
        else:
            self._meter.create_observable_gauge(name, [self._observing(name, _values)], unit, help)

    def _observing(self, name: str, tell: _Tell) -> _Callback:
        def observe(options: CallbackOptions) -> Iterable[Observation]:
            # By name: a metric may go, and come again as another object.
            family = self._metrics.look(name)
            return [*tell(family)] if family is not None else []

        return observe


def _labelled(family: Family[Any]) -> Iterator[tuple[dict[str, str], Any]]:
    for values, one in family.series().items():
        yield dict(zip(family.label_names, values, strict=True)), one


def _values(family: Family[Any]) -> Iterator[Observation]:
    for labels, one in _labelled(family):
        yield Observation(one.value, labels)


def _counts(family: Family[Any]) -> Iterator[Observation]:
    for labels, one in _labelled(family):
        yield Observation(one.count, labels)


def _sums(family: Family[Any]) -> Iterator[Observation]:
    for labels, one in _labelled(family):
        yield Observation(one.sum, labels)


def _quantiles(family: Family[Any]) -> Iterator[Observation]:
    for labels, one in _labelled(family):
        for share, value in zip(_QUANTILES, one.quantiles(*_QUANTILES), strict=True):
            yield Observation(value, {**labels, "quantile": str(share)})


def _unit(unit: str) -> str:
    """Return a unit as UCUM writes it."""
    return {"seconds": "s", "bytes": "By", "ratio": "1", "": "1"}.get(unit, f"{{{unit}}}")
