"""Weights in the format of safetensors: a table in JSON, then plain numbers."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

_TYPES = {"F32": np.float32, "F16": np.float16, "I64": np.int64}
_LENGTH = 8


def read_tensors(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays by name; they share the memory of ``data``."""
    size = int.from_bytes(data[:_LENGTH], "little")
    table = msgspec.json.decode(data[_LENGTH : _LENGTH + size], type=dict[str, Any])
    begin = _LENGTH + size
    arrays = {}
    for name, entry in table.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        numbers = np.frombuffer(data[begin + start : begin + end], dtype=_TYPES[entry["dtype"]])
        arrays[name] = numbers.reshape(entry["shape"])
    return arrays
