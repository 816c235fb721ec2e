"""Defaults of config Structs, as if somebody had written them: paths are absolute, and secrets hide themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, replace

from tta_kernel.units import unwrap

from .fields import fields
from .secrets import SecretText, UrlText, mask

Place = Callable[[Path, str], Path]


def default_of(field: FieldInfo) -> Any:
    """Return a field's default; `NODEFAULT` where it has none."""
    return field.default if field.default_factory is NODEFAULT else field.default_factory()


def settled(value: Any, type_: Any, key: str, place: Place) -> Any:
    """Return what a default of this type stands for; itself, where that is the same.

    ``place`` says which absolute path is meant by a path under a key.
    """
    bare, extra = unwrap(type_)
    if "path" in extra and isinstance(value, Path):
        return place(value, key)
    if "secret" in extra and isinstance(value, str):
        return SecretText(value)
    if isinstance(value, str) and mask(value) != value:
        return UrlText(value)
    if isinstance(value, Struct):
        return _struct(value, key, place)
    kinds = [it for it in get_args(bare) if it is not ...]
    if isinstance(value, list | tuple | set | frozenset) and kinds:
        kinds += kinds[-1:] * len(value)
        items = [settled(it, kinds[n], f"{key}.{n}", place) for n, it in enumerate(value)]
        same = all(new is old for new, old in zip(items, value, strict=True))
        return value if same else type(value)(items)
    if isinstance(value, dict) and len(kinds) == 2:
        table = {name: settled(it, kinds[1], f"{key}.{name}", place) for name, it in value.items()}
        same = all(table[name] is value[name] for name in table)
        return value if same else table
    return value


def _struct(value: Struct, key: str, place: Place) -> Struct:
    changes = {}
    for it in fields(type(value)):
        old = getattr(value, it.name)
        new = settled(old, it.type, f"{key}.{it.encode_name}", place)
        if new is not old:
            changes[it.name] = new
    return replace(value, **changes) if changes else value
