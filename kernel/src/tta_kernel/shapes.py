"""Whether a stranger's value is what the annotation says: a check at run time, for what no type checker saw."""

from __future__ import annotations

import types
from collections.abc import Collection, Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import msgspec


def fits(value: object, wanted: Any) -> bool:
    """Say whether ``value`` is a ``wanted``: containers with what is in them, Structs with their fields."""
    origin = get_origin(wanted) or wanted
    args = get_args(wanted)
    if origin in (Annotated, ClassVar):
        return fits(value, args[0])
    if origin in (Union, types.UnionType):
        return any(fits(value, each) for each in args)
    if origin is Literal:
        return value in args
    if origin is type:
        return isinstance(value, type) and (not isinstance(args[0], type) or issubclass(value, args[0]))
    if origin is None or wanted is None:
        return value is None
    if origin is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if not isinstance(origin, type) or origin is Any:
        return True  # Any, a type variable, or what only a type checker understands.
    if not isinstance(value, origin) or (origin is int and isinstance(value, bool)):
        return False
    return _holds(value, origin, args)


def _holds(value: object, origin: type, args: tuple[Any, ...]) -> bool:
    """Say whether what is in a container, or in a Struct, is of the right type."""
    if isinstance(value, msgspec.Struct):
        return all(fits(getattr(value, name), hint) for name, hint in _hints(type(value)).items())
    if isinstance(value, Mapping) and len(args) == 2:
        return all(fits(key, args[0]) and fits(each, args[1]) for key, each in value.items())
    if isinstance(value, str | bytes):
        return origin in (str, bytes)  # A text is a sequence of texts, and nobody ever means that.
    if isinstance(value, Collection) and args and not issubclass(origin, Mapping):
        if origin is tuple and args[-1] is not ...:
            return len(value) == len(args) and all(map(fits, value, args))
        return all(fits(each, args[0]) for each in value)
    return True


@cache
def _hints(struct: type[msgspec.Struct]) -> Mapping[str, Any]:
    try:
        hints = get_type_hints(struct)
    except NameError:
        return {}  # Its annotations are for type checkers only.
    return {name: hints[name] for name in struct.__struct_fields__ if name in hints}
