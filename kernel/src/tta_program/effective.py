"""The config in force, key by key, with the layer of each value and without secrets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from msgspec import NODEFAULT, Struct, to_builtins

from tta_kernel.units import is_struct, unwrap

from .config import LayeredSettings
from .defaults import default_of
from .fields import fields
from .layers import Source
from .reader import Reader, written
from .secrets import REDACTED, mask
from .variables import with_variables


class Entry(Struct, frozen=True):
    """One value in force, with secrets redacted, and the layer that it comes from."""

    key: str
    value: Any
    layer: str


def entries(settings: LayeredSettings, types: Mapping[str, type[Struct]]) -> list[Entry]:
    """List the config in force, key by key, as it is written; a plugin without a type shows its raw section."""
    source = settings.source
    kernel = _redacted(_in_force(type(settings), {}, settings, only=settings.keys), "", Reader(source))
    found = [*_leaves("kernel", kernel, source)]
    for name in sorted({*settings.plugins, *types}):
        path = f"plugins.{name}"
        section = settings.plugins.get(name)
        raw: Any = section.config if section else {}
        if name in types and isinstance(raw, Mapping):
            raw = with_variables(raw, types[name], f"{path}.config", source)
        reader = Reader(source, reveal=False)
        reader.value(raw, types.get(name, Any), f"{path}.config")
        shown: dict[str, Any] = {"enabled": section.enabled, "required": section.required} if section else {}
        shown["config"] = _in_force(types[name], raw) if name in types else raw
        found += _leaves(path, _redacted(shown, path, reader), source)
    return found


def _in_force(
    type_: type[Struct], raw: Mapping[str, Any], given: Struct | None = None, *, only: Collection[str] | None = None
) -> dict[str, Any]:
    """Return what is written, else what is ``given``, else the default, by key; with ``only``, of these keys."""
    shown = {}
    for it in fields(type_):
        if only is not None and it.name not in only:
            continue
        value = raw.get(it.encode_name, getattr(given, it.name, default_of(it)))
        if isinstance(value, Struct):
            value = _in_force(type(value), {}, value)
        elif isinstance(value, Mapping) and is_struct(kind := unwrap(it.type)[0]):
            value = _in_force(kind, value)
        shown[it.encode_name] = "<missing>" if value is NODEFAULT else written(value, it.type)
    return shown


def _redacted(value: Any, path: str, reader: Reader) -> Any:
    """Return ``value`` as builtins, without its secrets and with absolute paths."""
    if path in reader.hidden:
        return REDACTED
    if isinstance(value, Mapping):
        return {str(key): _redacted(it, f"{path}.{key}", reader) for key, it in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(it, f"{path}.{n}", reader) for n, it in enumerate(value)]
    if path in reader.placed:
        return str(reader.placed[path])
    return mask(str(value)) if isinstance(value, str) else to_builtins(value, enc_hook=str)


def _leaves(path: str, value: Any, source: Source) -> Iterator[Entry]:
    if isinstance(value, dict) and value:
        for key, it in value.items():
            yield from _leaves(f"{path}.{key}", it, source)
    elif value != {} or path.count(".") != 2:  # a config of nothing is not shown
        yield Entry(path, value, source.layer(path, exact=True) or "default")
