"""Whether a stranger's value is what the annotation says: a check at run time, for what no type checker saw."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from types import UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import Struct

hints = cache(get_type_hints)
"""The annotations of a Struct, or of a hook's specification: of few, and each costs more than five hooks' answers."""


def fits(value: object, wanted: Any) -> bool:
    """Say whether ``value`` is a ``wanted``, down to what is in a container or a Struct, and to a mapping's keys.

    ``wanted`` is what `typing.get_type_hints` makes of an annotation. What only a type checker understands fits.
    """
    kind = get_origin(wanted) or wanted
    args = get_args(wanted)
    if kind in (ClassVar, Union, UnionType):
        return any(fits(value, each) for each in args)
    if kind is type:
        return isinstance(value, type) and issubclass(value, args or object)
    if kind is Literal:
        return value in args
    if kind is Any or not isinstance(kind, type):
        return True
    if not isinstance(value, (int, float) if kind is float else kind):
        return False
    if issubclass(kind, Struct):
        return all(fits(getattr(value, name), hint) for name, hint in hints(kind).items())
    if kind is tuple and args and ... not in args:
        # type checkers don't see that by now it is one
        return len(value) == len(args) and all(map(fits, value, args))  # type: ignore[arg-type,call-overload]
    if isinstance(value, str):
        return not args  # It is a sequence of texts, too, and nobody ever means that.
    return not args or not isinstance(value, Collection) or all(fits(each, args[0]) for each in value)
