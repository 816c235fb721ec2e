"""The registry: whoever counts asks it for an instrument, and whoever renders reads all of them from it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any, overload

from tta_kernel import EventBus, Service, as_failure, check_count
from tta_kernel.events import E
from tta_program.logs import Redactor

from .family import Family, Read
from .following import Followed
from .instruments import LATENCY, Buckets, Counter, Gauge, Histogram
from .names import Kind, check_labels, check_name

log = logging.getLogger("tta.metrics")


class Metrics:
    """All metrics of a process, by their names.

    ``label_sets`` is how many sets of label values one metric has at most; ``secrets`` are shown in no label;
    ``events`` is the bus on which it follows events.
    A metric that is asked for again is the same; asked for as something else it is a ValueError, and so is a name
    that is against Prometheus' rules.
    """

    def __init__(self, *, label_sets: int = 200, secrets: Collection[str] = (), events: EventBus | None = None) -> None:
        check_count("label_sets", label_sets)
        self._label_sets = label_sets
        self._followed = Followed(events or EventBus())
        self._redact = Redactor(secrets)
        self._families: dict[str, Family[Any]] = {}
        self._sorted: Sequence[Family[Any]] = ()
        self._unreadable: dict[str, int] = {}
        self._overflow = self.counter(
            "tta_metrics_overflow_total", "label values that were counted as __other__", labels=("metric",)
        )
        self._read_errors = self.counter(
            "tta_metrics_read_errors_total", "looks at which a metric could not be read", labels=("metric",)
        )
        self.counter("tta_metrics_missed_events_total", "events not counted", read=lambda: self._followed.missed)
        self.counter("tta_metrics_failed_events_total", "events not counted", read=lambda: self._followed.failed)

    @overload
    def counter(self, name: str, help: str, unit: str = "", *, read: Read | None = None) -> Counter: ...
    @overload
    def counter(self, name: str, help: str, unit: str = "", *, labels: Sequence[str]) -> Family[Counter]: ...
    def counter(
        self, name: str, help: str, unit: str = "", *, labels: Sequence[str] = (), read: Read | None = None
    ) -> Any:
        """Return a counter, or with ``labels`` a family of them; ``read`` is asked for its number at each look."""
        return self._one(self.family(name, "counter", help, unit, labels, read=read))

    @overload
    def gauge(self, name: str, help: str, unit: str = "", *, read: Read | None = None) -> Gauge: ...
    @overload
    def gauge(self, name: str, help: str, unit: str = "", *, labels: Sequence[str]) -> Family[Gauge]: ...
    def gauge(
        self, name: str, help: str, unit: str = "", *, labels: Sequence[str] = (), read: Read | None = None
    ) -> Any:
        """Return a gauge, or with ``labels`` a family of them.

        ``read`` is asked for its number at each look, in the event loop: it must be quick. What raises, or is no
        number, is left out of the look and counted in ``tta_metrics_read_errors_total``.
        """
        return self._one(self.family(name, "gauge", help, unit, labels, read=read))

    @overload
    def histogram(self, name: str, help: str, unit: str = "seconds", *, buckets: Buckets = LATENCY) -> Histogram: ...
    @overload
    def histogram(
        self, name: str, help: str, unit: str = "seconds", *, labels: Sequence[str], buckets: Buckets = LATENCY
    ) -> Family[Histogram]: ...
    def histogram(
        self, name: str, help: str, unit: str = "seconds", *, labels: Sequence[str] = (), buckets: Buckets = LATENCY
    ) -> Any:
        """Return a histogram, or with ``labels`` a family of them."""
        return self._one(self.family(name, "histogram", help, unit, labels, buckets=buckets))

    def family(
        self,
        name: str,
        kind: Kind,
        help: str,
        unit: str = "",
        labels: Sequence[str] = (),
        *,
        buckets: Buckets = LATENCY,
        read: Read | None = None,
    ) -> Family[Any]:
        """Return a metric as what a scrape shows of it: its name, its series."""
        found = self._families.get(name)
        if found is not None:
            wanted = (kind, unit, tuple(labels))
            there = (found.kind, found.unit, found.label_names)
            if wanted != there:
                raise ValueError(
                    f"metric {name!r} is there already, as {there}, and not as {wanted}: take another name"
                )
            found.read = read or found.read
            return found
        check_name(name, kind, help, unit)
        check_labels(name, labels)
        if labels and read:
            raise ValueError(f"metric {name!r}: `read` gives one number, so leave out the labels, or set each yourself")
        made: Family[Any] = Family(
            name,
            kind,
            help=help,
            unit=unit,
            labels=labels,
            buckets=buckets,
            limit=self._label_sets,
            redact=self._redact,
        )
        made.read = read
        self._families[name] = made
        self._sorted = sorted(self._families.values(), key=lambda family: family.name)
        return made

    def look(self, name: str) -> Family[Any] | None:
        """Return one metric with what it counts just now; None where it isn't there, or can't be read."""
        family = self._families.get(name)
        if family is not None and family.read is not None and not self._read(family, family.read):
            return None
        return family

    def find(self, name: str) -> Family[Any] | None:
        """Return a metric that is there."""
        return self._families.get(name)

    def remove(self, name: str) -> None:
        """Take a metric out, as when the plugin that gives it has gone."""
        if self._families.pop(name, None) is not None:
            self._sorted = sorted(self._families.values(), key=lambda family: family.name)

    def families(self) -> Sequence[Family[Any]]:
        """Return all metrics, by name, with what they count just now; not those that can't be read."""
        found = [family for family in self._sorted if family.read is None or self._read(family, family.read)]
        self._overflow.replace({(each.name,): each.overflow for each in found if each.overflow})
        self._read_errors.replace({(name,): times for name, times in self._unreadable.items()})
        return found

    def follow(self, event: type[E], update: Callable[[E], object]) -> AbstractContextManager[None]:
        """Call ``update`` with each such event, for as long as the block, up to a second after it was published.

        It is for counting, so that whoever publishes doesn't pay for it. ``update`` is a plain function that doesn't
        block; an event for which it raises isn't counted.
        """
        return self._followed.follow(event, update)

    async def catch_up(self) -> None:
        """Count what has been published until now of the events that are followed."""
        await self._followed.catch_up()

    def _read(self, family: Family[Any], read: Read) -> bool:
        try:
            number: Any = read()
            if isinstance(number, bool) or not isinstance(number, int | float) or math.isnan(number):
                raise TypeError(f"gave {type(number).__name__}, which is no number")
        except BaseException as exc:  # noqa: BLE001 - a stranger's code; `as_failure` raises what must go on
            failure = as_failure(exc)
            if family.name not in self._unreadable:  # Once: a scrape comes every few seconds.
                log.warning("metric %s is left out, since reading it raised %s", family.name, type(failure).__name__)
            self._unreadable[family.name] = self._unreadable.get(family.name, 0) + 1
            return False
        family.only.value = number
        return True

    @staticmethod
    def _one(family: Family[Any]) -> Any:
        return family if family.label_names else family.only


METRICS = Service[Metrics]("metrics")
