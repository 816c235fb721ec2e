"""Whether a stranger's value is what the annotation says: a check at run time, for what no type checker saw."""

from __future__ import annotations

from collections.abc import Collection
from types import UnionType
from typing import Any, ClassVar, Union, get_args, get_origin


def fits(value: object, wanted: Any) -> bool:
    """Say whether ``value`` is a ``wanted``, down to what is in a container, and to a mapping's keys.

    ``wanted`` is what `typing.get_type_hints` makes of an annotation. What only a type checker understands fits.
    """
    kind = get_origin(wanted) or wanted
    args = get_args(wanted)
    if kind in (ClassVar, Union, UnionType):
        return any(fits(value, each) for each in args)
    if kind is type:
        return isinstance(value, type) and issubclass(value, args or object)
    if kind is Any or not isinstance(kind, type):
        return True
    if not isinstance(value, (int, float) if kind is float else kind):
        return False
    if isinstance(value, str):
        return not args  # It is a sequence of texts, too, and nobody ever means that.
    return not (isinstance(value, Collection) and args) or all(fits(each, args[0]) for each in value)
