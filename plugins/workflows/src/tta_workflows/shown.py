"""What may be shown of a run to whoever may not read what people wrote: names and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .records import AnyRecord

_HIDDEN = ("output", "input", "data", "arguments")
"""What may hold a person's text."""


def without_text(number: int, record: AnyRecord) -> dict[str, Any]:
    """Return a record without what anybody has said: of that, names and sizes."""
    told: dict[str, Any] = {"no": number, **msgspec.to_builtins(record)}
    for key in _HIDDEN:
        if key in told:
            told[key] = sizes(told[key])
    if "text" in told:
        told["text"] = len(told["text"])
    return told


def sizes(fields: Mapping[str, Any]) -> dict[str, int]:
    """Return the size of each field, in bytes as it is stored."""
    return {name: len(msgspec.msgpack.encode(value)) for name, value in fields.items()}
