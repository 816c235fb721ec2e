"""What a Struct checks only where it is decoded, for those that are to tell whoever builds one, too."""

from __future__ import annotations

import math


def amount(what: str, value: object, most: float = math.inf) -> None:
    """Raise a ValueError unless ``value`` is a number from 0 to ``most``."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not 0 <= number <= most or number == math.inf:
        limit = f" to {most:g}" if most < math.inf else ""
        raise ValueError(f"{what} is a number from 0{limit}, not {value!r}")


def text_set(what: str, value: object) -> None:
    """Raise a ValueError unless ``value`` is a set of texts."""
    if not isinstance(value, frozenset | set) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{what} is a set of texts, such as frozenset({{'a'}}), not {type(value).__name__}")


def one_of(what: str, value: object, known: tuple[str, ...]) -> None:
    """Raise a ValueError unless ``value`` is among what is ``known``."""
    if value not in known:
        raise ValueError(f"{what} is one of {', '.join(known)}, not {value!r}")
