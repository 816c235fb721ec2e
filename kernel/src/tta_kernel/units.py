"""Durations and sizes, as people write them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, TypeGuard, Union, get_args, get_origin

from msgspec import Meta, Struct

LONGEST = 36_500 * 86_400
"""A hundred years, in seconds: what is longer is a mistake, and more than clocks, timers and stores can hold."""
Duration = Annotated[float, Meta(extra={"unit": "seconds"})]
"""From 0 to `LONGEST`, as `measure` sees to it: msgspec lets nobody narrow a limit that a type has already."""
PositiveDuration = Annotated[Duration, Meta(gt=0)]
"""A `Duration` of which none at all would make no sense, such as a time limit."""
Size = Annotated[int, Meta(extra={"unit": "bytes"})]

UNITS: Mapping[str, Mapping[str, float]] = {
    "seconds": {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400},
    "bytes": {
        "B": 1,
        "kB": 1_000,
        "KB": 1_000,
        "MB": 1_000_000,
        "GB": 1_000_000_000,
        "TB": 1_000_000_000_000,
        "KiB": 1_024,
        "MiB": 1_048_576,
        "GiB": 2**30,
        "TiB": 2**40,
    },
}
EXAMPLES = {
    "seconds": "a duration such as '30s', '500ms', '2m', '1h', '1d' or a number",
    "bytes": "a size such as '4GB' (10**9), '4GiB' (2**30), '512kB' or a whole number",
}


def measure(raw: Any, unit: str) -> Any:
    """Return what "30s" or "4GB" says in seconds or bytes; raise a ValueError for what is no measure.

    A number is one already, unless it is below 0 or has no end; a fraction of a byte is left for its type to refuse.
    """
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?) ?(\w+)", str(raw))
    if match and match[2] in UNITS[unit]:
        raw = round(float(match[1]) * UNITS[unit][match[2]], 9 if unit == "seconds" else None)
    if not _is_number(raw) or not 0 <= raw < math.inf:
        raise ValueError(f"expected {EXAMPLES[unit]}")
    if unit == "seconds" and raw > LONGEST:
        raise ValueError("expected at most '36500d'")
    return raw


def check_duration(what: str, value: object, *, positive: bool = False) -> None:
    """Raise a ValueError unless ``value`` is a `Duration`, or a `PositiveDuration`: no call's arguments are decoded."""
    if not _is_number(value) or not 0 <= value <= LONGEST or (positive and not value):
        limit = "more than 0" if positive else "at least 0"
        raise ValueError(f"{what} is a number of seconds, {limit} and at most {LONGEST}, not {value!r}")


def check_count(what: str, value: object, *, least: int = 1, most: float = math.inf) -> None:
    """Raise a ValueError unless ``value`` is a whole number from ``least`` to ``most``."""
    if not _is_number(value, int) or not least <= value <= most:
        limit = f"{least} to {most:,}" if most < math.inf else f"at least {least}"
        raise ValueError(f"{what} is a whole number, {limit}, not {value!r}")


def _is_number(value: object, kind: Any = int | float) -> TypeGuard[float]:
    return isinstance(value, kind) and not isinstance(value, bool)


def unwrap(type_: Any) -> tuple[Any, dict[str, Any]]:
    """Return a type without its annotations and without None, and what `Meta` has under ``extra``."""
    extra: dict[str, Any] = {}
    if get_origin(type_) is Annotated:
        type_, *metas = get_args(type_)
        for meta in metas:
            extra |= getattr(meta, "extra", None) or {}
    members = [it for it in get_args(type_) if it is not NoneType]
    if get_origin(type_) in (Union, UnionType) and len(members) == 1:
        type_, more = unwrap(members[0])
        extra |= more
    return type_, extra


def is_struct(type_: Any) -> bool:
    """Say whether a type is a Struct."""
    return isinstance(type_, type) and issubclass(type_, Struct)
