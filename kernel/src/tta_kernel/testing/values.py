"""What strangers answer: values that aren't of the type, and such as are, and odd."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from tta_kernel.shapes import fits

Make = Callable[[], Any]

TEXTS: Mapping[str, str] = {
    "a lone surrogate": "\ud800",
    "escape sequences": "\x1b[2J\x1b]0;odd\x07",
    "control characters": "\x00\x08\x7f\r\n\u202e",
    "a huge text": "x" * 100_000,
}
NUMBERS: Mapping[str, float] = {
    "NaN": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "a negative number": -1,
    "a huge number": 10**400,
}

INNER: Mapping[str, object] = {"None": None, "lists of None": [None], "classes": object}
"""What stands within a value whose own type is right."""


class _Unreadable:
    """A value that raises whatever is asked of it."""

    def __repr__(self) -> str:
        raise ValueError("no text")

    def __bool__(self) -> bool:
        raise ValueError("neither true nor false")

    def __len__(self) -> int:
        raise ValueError("no length")

    def __iter__(self) -> Iterator[Any]:
        raise ValueError("nothing to go through")

    def __eq__(self, other: object) -> bool:
        raise ValueError("nothing to compare")

    __hash__ = None  # type: ignore[assignment]


def _coroutine() -> Any:
    @types.coroutine
    def pause() -> Iterator[None]:
        yield

    async def odd() -> None:
        await pause()

    begun = odd()
    begun.send(None)  # Python warns of one that is dropped before it began.
    return begun


WRONG: Mapping[str, Make] = {
    "None": lambda: None,
    "a text": lambda: "odd",
    "a number": lambda: -7,
    "an object": object,
    "a class": lambda: _Unreadable,
    "a coroutine": _coroutine,
    "an error": lambda: ValueError("returned"),
    "what can't be looked at": _Unreadable,
    "a list of None": lambda: [None],
    "a list of what can't be looked at": lambda: [_Unreadable()],
    "a mapping of None": lambda: {None: None},
}


def wrong_values(wanted: Any) -> Mapping[str, Make]:
    """Return, by name, how to make values that are no ``wanted``."""
    if wanted is None:
        return {}
    within: dict[str, Make] = {
        f"{name} within": partial(_same, _around(wanted, wrong)) for name, wrong in INNER.items()
    }
    return {name: make for name, make in {**WRONG, **within}.items() if not fits(make(), wanted)}


def odd_values(wanted: Any) -> Mapping[str, Make]:
    """Return, by name, how to make values that are a ``wanted``, and odd."""
    found: dict[str, Make] = {}
    if wanted is None:
        return {"something that nobody wants": object}
    for name, odd in {**TEXTS, **NUMBERS}.items():
        value = _with(wanted, odd)
        if value is not None and fits(value, wanted):
            found[name] = partial(_same, value)
    for name, wrong in INNER.items():
        value = _around(wanted, wrong)
        if value is not None and fits(value, wanted):
            found[f"{name} within"] = partial(_same, value)
    return found


def _around(wanted: Any, wrong: object) -> Any:
    """Return a ``wanted`` in which all that it holds is wrong; None where it holds nothing of a certain type.

    Nothing checks a Struct when it is built, nor what a mapping holds.
    """
    bare, args = _bare(wanted)
    if bare is Union:
        return next((found for each in args if (found := _around(each, wrong)) is not None), None)
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        value = msgspec.structs.replace(example(bare))
        for name in bare.__struct_fields__:
            msgspec.structs.force_setattr(value, name, wrong)
        return value
    if isinstance(bare, type) and issubclass(bare, Mapping) and args and args[1] is not Any:
        return {example(args[0]): wrong}
    if bare is tuple and args and ... not in args:
        return (wrong,) * len(args)
    if isinstance(bare, type) and issubclass(bare, Collection) and args:
        inner = _around(args[0], wrong)
        return None if inner is None else (inner,)
    return None


def _same(value: object) -> object:
    return value


def _with(wanted: Any, odd: object) -> Any:
    """Return a ``wanted`` with something odd wherever it may stand; None where it may stand nowhere."""
    bare, args = _bare(wanted)
    if bare is Union:
        return next((found for each in args if (found := _with(each, odd)) is not None), None)
    if bare in (str, int, float, Any):
        return odd if bare is Any or fits(odd, bare) else None
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        return _struct_with(bare, odd)
    if isinstance(bare, type) and issubclass(bare, Mapping) and args:
        key, value = _with(args[0], odd), _with(args[1], odd)
        if key is None and value is None:
            return None
        return {example(args[0]) if key is None else key: example(args[1]) if value is None else value}
    if bare is tuple and args and ... not in args:
        odds = [_with(each, odd) for each in args]
        right = map(example, args)
        made = tuple(it if value is None else value for it, value in zip(right, odds, strict=True))
        return None if odds.count(None) == len(odds) else made
    if isinstance(bare, type) and issubclass(bare, Collection) and args:
        inner = _with(args[0], odd)
        return None if inner is None else (inner,)
    return None


def _struct_with(kind: type[msgspec.Struct], odd: object) -> msgspec.Struct | None:
    """Return a Struct with something odd in each field that takes it."""
    right = example(kind)
    made = right
    for name, hint in get_type_hints(kind).items():
        value = _with(hint, odd) if name in kind.__struct_fields__ else None
        if value is not None:
            with suppress(ValueError, TypeError, OverflowError):  # Its own `__post_init__` refuses that.
                made = msgspec.structs.replace(made, **{name: value})
    return None if made is right else made


def example(wanted: Any) -> Any:
    """Return a right value, as simple as can be."""
    bare, args = _bare(wanted)
    if bare is Union:
        return None if type(None) in args else example(args[0])
    if bare is Literal:
        return args[0]
    if bare is Callable or getattr(bare, "__name__", "") == "Callable":
        return lambda *_: None
    if bare is type and args:
        return args[0]
    if not isinstance(bare, type):
        return None
    if issubclass(bare, msgspec.Struct):
        hints = get_type_hints(bare)
        required = bare.__struct_fields__[: len(bare.__struct_fields__) - len(bare.__struct_defaults__)]
        return bare(**{name: example(hints[name]) for name in required})
    for kind, value in ((bool, True), (int, 1), (float, 1.0), (str, "fine"), (bytes, b"fine")):
        if bare is kind:
            return value
    if issubclass(bare, Mapping):
        return {}
    if bare is tuple and ... not in args:
        return tuple(map(example, args))
    return () if issubclass(bare, Collection) else None


def _bare(wanted: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return what a type is without its parameters, and these."""
    origin = get_origin(wanted)
    if origin is Annotated:
        return _bare(get_args(wanted)[0])
    if origin is types.UnionType:
        return Union, get_args(wanted)
    return origin or wanted, get_args(wanted)
