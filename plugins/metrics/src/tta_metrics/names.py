"""What may be called how: Prometheus' rules for names, with an error that says the right one.

The rules are those of prometheus.io/docs/practices/naming and of ``promtool check metrics``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_KEPT_LABELS = {"le", "quantile"}
_KEPT_SUFFIXES = ("_total", "_count", "_sum", "_bucket", "_created")
_SECONDS = ("s", "sec", "ms", "us", "ns", "milliseconds", "microseconds", "nanoseconds", "minutes", "hours", "days")
_BYTES = ("b", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "kilobytes", "megabytes", "gigabytes", "bits")
_BASE_UNITS: Mapping[str, str] = {
    **dict.fromkeys(_SECONDS, "seconds"),
    **dict.fromkeys(_BYTES, "bytes"),
    "percent": "ratio",
    "pct": "ratio",
}


def check_name(name: str, kind: Kind, help: str, unit: str) -> None:
    """Raise a ValueError that says what is wrong with a metric's name, unit or help, and how to mend it."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"metric {name!r}: a name is lower-case words joined by underscores, such as 'tta_calls_total'"
        )
    if not help.strip():
        raise ValueError(f"metric {name!r}: say in `help` what it counts or measures")
    if any("\ud800" <= char <= "\udfff" for char in help):
        # Found here, at the one metric, and not at every scrape of all of them.
        raise ValueError(f"metric {name!r}: `help` holds half of a character, which UTF-8 can't say")
    stem = name.removesuffix("_total")
    words = stem.split("_")
    for word in words:
        if word in _BASE_UNITS:
            raise ValueError(f"metric {name!r}: {word!r} is no base unit; measure in {_BASE_UNITS[word]!r}")
    if words[-1] in ("counter", "gauge", "histogram", "summary"):
        raise ValueError(f"metric {name!r}: leave {words[-1]!r} out of the name, which its type says already")
    if unit in _BASE_UNITS:
        raise ValueError(f"metric {name!r}: {unit!r} is no base unit; measure in {_BASE_UNITS[unit]!r}")
    total = "_total" if kind == "counter" else ""
    if unit and not stem.endswith(f"_{unit}"):
        raise ValueError(f"metric {name!r}: its unit ends the name; call it '{stem}_{unit}{total}'")
    if kind == "counter" and stem == name:
        raise ValueError(f"metric {name!r}: a counter's name ends in '_total'; call it '{name}_total'")
    for suffix in _KEPT_SUFFIXES:
        if (stem if kind == "counter" else name).endswith(suffix):
            raise ValueError(f"metric {name!r}: the ending {suffix!r} is kept for what a {kind} is not; leave it out")


def check_labels(name: str, labels: Sequence[str]) -> None:
    """Raise a ValueError that says what is wrong with a metric's labels."""
    for label in labels:
        if not _NAME.fullmatch(label):
            raise ValueError(f"metric {name!r}: label {label!r} is no lower-case word such as 'agent'")
        if label in _KEPT_LABELS:
            raise ValueError(f"metric {name!r}: label {label!r} is Prometheus' own; use another")
    if len({*labels}) < len(labels):
        raise ValueError(f"metric {name!r}: a label is named twice in {', '.join(labels)}")


def prometheus_name(figure: str, kind: Kind, unit: str = "") -> str:
    """Return how a figure ``owner.what`` of a plugin's snapshot is called: ``tta_owner_what_unit_total``."""
    name = "tta_" + re.sub(r"[^a-z0-9]+", "_", figure.lower()).strip("_")
    if unit and not name.endswith(f"_{unit}"):
        name = f"{name}_{unit}"
    return f"{name}_total" if kind == "counter" else name
