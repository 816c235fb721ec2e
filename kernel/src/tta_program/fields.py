"""The fields of a Struct, remembered: each look evaluates the annotations of all its classes."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct, structs
from msgspec.structs import FieldInfo

_MOST = 1000


@lru_cache(maxsize=_MOST)
def fields(type_: type[Struct]) -> tuple[FieldInfo, ...]:
    """Return the fields of a Struct."""
    return structs.fields(type_)
