"""Variables of their own that a field may declare: ``Annotated[Path, Meta(extra={"env": "OLD_NAME"})]``.

One that is set and empty counts as not set, unless ``"empty": True`` says that it means something there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from tta_kernel.units import is_struct, unwrap

from .fields import fields
from .layers import Layer, Source, Text


def with_variables(raw: Mapping[str, Any], type_: type[Struct], path: str, source: Source) -> Mapping[str, Any]:
    """Return a section with what its fields' own variables say, which lie above the files and below ``TTA__…``.

    What such a variable says becomes a layer of the source; a path in it is relative to the working directory.
    """
    found = dict(raw)
    for key, name, value in _said(raw, type_, path, source):
        if name:
            _lay(source, name, f"{path}.{key}", value)
        found[key] = value
    return found


def _said(raw: Mapping[str, Any], type_: type[Struct], path: str, source: Source) -> Iterator[tuple[str, str, Any]]:
    """Yield each key of which a variable says something, the variable's name, and the value."""
    for field in fields(type_):
        bare, extra = unwrap(field.type)
        key = field.encode_name
        name = extra.get("env", "")
        inner = raw.get(key, {})
        given = source.environ.get(name) if name else None
        counts = given is not None and (given != "" or extra.get("empty", False))
        if counts and not _decided(source, f"{path}.{key}"):
            yield key, name, Text(given)
        elif is_struct(bare) and isinstance(inner, Mapping):
            found = with_variables(inner, bare, f"{path}.{key}", source)
            if found != inner:
                yield key, "", found


def _decided(source: Source, key: str) -> bool:
    """Whether a variable ``TTA__…`` or code, which lie above, say something of a key."""
    return _above(source.layer(key, exact=True))


def _above(layer: str) -> bool:
    return layer == "overrides" or layer.startswith("TTA__")


def _lay(source: Source, name: str, key: str, value: Any) -> None:
    """Make what a variable says a layer, unless it is one."""
    if source.layer(key, exact=True) == name or not isinstance(source.layers, list):
        return
    tree: Any = value
    for part in reversed(key.split(".")):
        tree = {part: tree}
    place = next((at for at, it in enumerate(source.layers) if _above(it.name)), len(source.layers))
    source.layers.insert(place, Layer(name, tree))
