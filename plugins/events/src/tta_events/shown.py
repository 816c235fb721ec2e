"""What an event shows of itself: its numbers, and what its type declares; of all else only how long it is.

A type declares it as ``__shown__: ClassVar = ("agent", "code")``: names of fields that never hold a person's words.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec

from tta_kernel import Event, PluginStateChanged, as_failure

from .model import Entry

_KERNELS: dict[type[Event], tuple[str, ...]] = {PluginStateChanged: ("plugin", "state")}
"""The kernel knows nothing of what is shown."""
_ENVELOPE = ("at", "source", "session", "owner", "correlation_id")
_LONGEST = 1000
"""Bytes of JSON that a field may have to be shown."""
_SHORT = 200
"""Characters of a text that is kept as it is; most are, so that they cost nothing."""
_NUMBERS = frozenset({int, float, bool, type(None)})


class Size(int):
    """How long something is that isn't shown."""

    __slots__ = ()


class Layout:
    """What is kept of events of one type: a microsecond's work for each, so that whoever publishes hardly pays."""

    def __init__(self, kind: type[Event]) -> None:
        declared = getattr(kind, "__shown__", _KERNELS.get(kind, ()))
        there = kind.__struct_fields__
        self._envelope = [name for name in _ENVELOPE if name in there]
        self._names = [name for name in there if name not in _ENVELOPE]
        self._get = attrgetter(*self._envelope, *self._names)
        keeps: list[Callable[[Any], object]] = [_shortened] * len(self._envelope)
        keeps += [_encoded if name in declared else _size for name in self._names]
        self._keeps = keeps
        self._kind = str(kind.__struct_config__.tag or kind.__name__)

    def take(self, event: Event) -> tuple[Any, ...]:
        """Return what is kept of an event: numbers, short texts, JSON of what is declared, and sizes."""
        values = zip(self._get(event), self._keeps, strict=True)
        return tuple([value if type(value) in _NUMBERS else keep(value) for value, keep in values])

    def entry(self, seq: int, kept: tuple[Any, ...]) -> Entry:
        """Return that as it is told."""
        envelope = dict(zip(self._envelope, kept, strict=False))
        fields: dict[str, Any] = {}
        sizes: dict[str, int] = {}
        for name, value in zip(self._names, kept[len(self._envelope) :], strict=True):
            if isinstance(value, Size):
                sizes[name] = int(value)
            else:
                fields[name] = msgspec.json.decode(value) if isinstance(value, bytes) else value
        return Entry(seq, self._kind, **envelope, fields=fields, sizes=sizes)


@cache
def layout_of(kind: type[Event]) -> Layout:
    """Return the layout of a type; types of events are few, and live as long as the process."""
    return Layout(kind)


def _shortened(value: object) -> str:
    if not isinstance(value, str):
        return ""
    if len(value) <= _SHORT and value.isascii():
        return value
    return value[:_SHORT].encode("utf-8", "backslashreplace").decode()


def _encoded(value: object) -> object:
    """Return a short text as it is, another value as JSON, or its size where that is much or can't be."""
    if isinstance(value, str) and len(value) <= _SHORT and value.isascii():
        return value
    try:
        encoded = msgspec.json.encode(value)
    except BaseException as exc:  # noqa: BLE001 - a value of a stranger's; `as_failure` raises what must go on
        as_failure(exc)
        return _size(value)
    return encoded if len(encoded) <= _LONGEST else Size(len(encoded))


def _size(value: Any) -> Size:
    """Return how long a text is, or how many things a collection holds; 1 for what is neither."""
    try:
        return Size(len(value)) if hasattr(value, "__len__") else Size(1)
    except BaseException as exc:  # noqa: BLE001 - a value of a stranger's; `as_failure` raises what must go on
        as_failure(exc)
        return Size(1)
