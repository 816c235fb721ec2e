"""Values as JSON has them: what goes into a tool, and what comes out of it, whatever was handed over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tta_kernel import as_failure

encode = msgspec.json.Encoder().encode
encode_sorted = msgspec.json.Encoder(order="deterministic").encode
"""The same bytes for equal values."""
decode = msgspec.json.Decoder().decode


class NotPlain(ValueError):
    """A value that JSON doesn't have, or can't carry back; it says what, and quotes nothing."""


def plain(value: Any) -> tuple[Any, bytes]:
    """Return a copy of a value in builtins, and its JSON; raise `NotPlain` for what has none.

    From here on nobody else holds it: what was decided about it stays true. Numbers that are none, and text that can't
    be written as UTF-8, are refused; a tuple is a list, and a Struct an object.
    """
    try:
        text = encode(value)
        copied = decode(text)
        if copied != value:
            _refuse_no_numbers(value)
    except RecursionError:
        raise NotPlain("it is nested too deeply") from None
    except UnicodeEncodeError:
        raise NotPlain("it has text that is no Unicode, such as half of a surrogate pair") from None
    except NotPlain:
        raise
    except BaseException as exc:  # noqa: BLE001 - an object of a stranger's has its own ideas of what equals it
        raise NotPlain(f"it is no JSON: {type(as_failure(exc)).__name__:.100}") from None
    return copied, text


def _refuse_no_numbers(value: Any) -> None:
    # msgspec writes NaN and the infinities as null, which would be another value.
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotPlain("it has a number that is none, such as NaN or Infinity")
    elif isinstance(value, msgspec.Struct):
        _refuse_no_numbers(msgspec.structs.asdict(value))
    elif isinstance(value, Mapping):
        for each in value.values():
            _refuse_no_numbers(each)
    elif isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes | bytearray):
        for each in value:
            _refuse_no_numbers(each)


def texts(value: Any) -> list[str]:
    """Return all text in a value of builtins, names of fields included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    if isinstance(value, dict):
        return [text for name, each in value.items() for text in (name, *texts(each))]
    return []
