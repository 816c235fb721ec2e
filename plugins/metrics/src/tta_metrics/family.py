"""One metric under its name: alone, or once for each set of label values, of which there is a limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from tta_program.logs import Redactor

from .instruments import Buckets, Counter, Gauge, Histogram
from .names import Kind

Instrument = Counter | Gauge | Histogram
M = TypeVar("M", bound=Instrument)

OTHER = "__other__"
"""What each label says for all that came after the limit."""
LONGEST_LABEL = 120
"""Characters that a label's value keeps."""

Read = Callable[[], float]
_PLAIN: Mapping[str, type[Counter | Gauge]] = {"counter": Counter, "gauge": Gauge}


class Family(Generic[M]):
    """All series of one metric; ``labels(value, …)`` returns one of them, and the same the next time.

    Whoever counts often keeps what `labels` returns. After ``limit`` sets of values all further ones are one series, in
    which each label is ``__other__``, and ``overflow`` counts how often that was returned.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        *,
        help: str,
        unit: str,
        labels: Sequence[str],
        buckets: Buckets,
        limit: int,
        redact: Redactor,
    ) -> None:
        self.name = name
        self.kind = kind
        self.help = help
        self.unit = unit
        self.label_names = tuple(labels)
        self.limit = limit
        self.read: Read | None = None
        """Where a number is read only when somebody looks."""
        self.overflow = 0
        self._buckets = buckets
        self._redact = redact
        self._series: dict[tuple[str, ...], M] = {}
        self._found: dict[tuple[str, ...], M] = {}
        """By values as they were given, so that they are cleaned but once; not those that cleaning changes."""
        if not labels:
            self.only: M = self._add(())

    def labels(self, *values: str) -> M:
        """Return the series of these values of the labels, in the order in which they were declared."""
        found = self._found.get(values)
        return found if found is not None else self._find(values)

    def series(self) -> Mapping[tuple[str, ...], M]:
        """All series by their labels' values; a copy, since an exporter may look from a thread of its own."""
        return self._series.copy()

    def replace(self, numbers: Mapping[tuple[str, ...], float]) -> None:
        """Set all series of a counter or gauge to what was counted elsewhere; those that are not named go."""
        kept: dict[tuple[str, ...], float] = {}
        for values, number in numbers.items():
            clean = self._cleaned(values)
            if clean not in kept and len(kept) >= self.limit:
                self.overflow += 1
                clean = self._other()
            kept[clean] = kept.get(clean, 0) + number
        for gone in self._series.keys() - kept.keys():
            self._series.pop(gone, None)
        self._found.clear()
        for values, number in kept.items():
            one = self._series.get(values) or self._add(values)
            assert not isinstance(one, Histogram)
            one.value = number

    def _find(self, values: tuple[str, ...]) -> M:
        if len(values) != len(self.label_names):
            raise ValueError(f"metric {self.name!r} has the labels {self.label_names}, not {len(values)} values")
        clean = self._cleaned(values)
        found = self._series.get(clean)
        if found is None and len(self._series) >= self.limit:
            self.overflow += 1
            return self._series.get(self._other()) or self._add(self._other())
        found = found or self._add(clean)
        if clean == values:
            self._found[values] = found
        return found

    def _other(self) -> tuple[str, ...]:
        return (OTHER,) * len(self.label_names)

    def _cleaned(self, values: Sequence[str]) -> tuple[str, ...]:
        return tuple(self._clean(value) for value in values)

    def _clean(self, value: str) -> str:
        """Return a label's value without secrets, of bearable length, in what UTF-8 can say."""
        if not isinstance(value, str):
            raise TypeError(f"metric {self.name!r}: a label's value is text, not {value!r}")
        # Hidden before it is cut, for half a secret wouldn't be found; but not all of a long one.
        hidden = self._redact(value[: 10 * LONGEST_LABEL])[:LONGEST_LABEL]
        return hidden.encode("utf-8", "backslashreplace").decode()

    def _add(self, values: tuple[str, ...]) -> M:
        made: Any = Histogram(self._buckets) if self.kind == "histogram" else _PLAIN[self.kind]()
        one: M = made
        self._series[values] = one
        one.template = _template(self.name, dict(zip(self.label_names, values, strict=True)), one)
        return one


def _template(name: str, labels: Mapping[str, str], one: Instrument) -> str:
    """Return the lines of a series with ``%s`` for each number: so a scrape only fills them in."""
    if not isinstance(one, Histogram):
        return f"{name}{_braced(labels)} %s\n"
    bounds = [*map(repr, one.buckets.shown), "+Inf"]
    buckets = [f"{name}_bucket{_braced({**labels, 'le': bound})} %s\n" for bound in bounds]
    return "".join([*buckets, f"{name}_count{_braced(labels)} %s\n", f"{name}_sum{_braced(labels)} %s\n"])


def _braced(labels: Mapping[str, str]) -> str:
    """Return labels as they stand in a template, in which a percent sign is two."""
    pairs = ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}".replace("%", "%%") if pairs else ""


def escaped(value: str) -> str:
    """Return a label's value as it stands between quotes."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
