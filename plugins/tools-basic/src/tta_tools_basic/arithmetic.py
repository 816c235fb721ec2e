"""Arithmetic on an expression as people write it, which can't take long whatever it says."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Annotated

from msgspec import Meta

from tta_tools import ToolError, tool

MOST = 2**53 - 1
"""What a whole number may be, so that every program reads it alike; a fraction may be as large as it likes."""
_DEEPEST = 20
_WORD = re.compile(r"\s*(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?|[a-z]+|\*\*|//|[-+*/%(),^])")
_NAMES = {"pi": math.pi, "e": math.e}
_FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "abs": abs, "ceil": math.ceil, "cos": math.cos, "exp": math.exp, "floor": math.floor, "log": math.log,
    "max": max, "min": min, "round": round, "sin": math.sin, "sqrt": math.sqrt, "tan": math.tan,
}  # fmt: skip
_SIGNS: Mapping[str, tuple[int, Callable[[float, float], float]]] = {
    "+": (1, lambda a, b: a + b),
    "-": (1, lambda a, b: a - b),
    "*": (2, lambda a, b: a * b),
    "/": (2, lambda a, b: a / b),
    "//": (2, lambda a, b: a // b),
    "%": (2, lambda a, b: a % b),
}

Expression = Annotated[str, Meta(min_length=1, max_length=200, description="such as 2 * (3 + 4) or sqrt(2) ** 3")]
Number = int | float


@tool(
    name="math.evaluate",
    version="1.0.0",
    description=f"Work out an expression of + - * / // % **, parentheses, pi, e, and {', '.join(_FUNCTIONS)}.",
    capabilities=("arithmetic",),
    idempotent=True,
    shared=True,
)
def evaluate(expression: Expression) -> int | float:
    """Work out an expression; `ToolError` where it is none, or too large."""
    return _Reader(expression).all()


@tool(name="math.add", version="1.0.0", capabilities=("arithmetic",), idempotent=True, shared=True)
def add(a: Number, b: Number) -> int | float:
    """Add two numbers."""
    return _bounded(a + b)


class _Reader:
    """Reads an expression from left to right, and works it out meanwhile."""

    def __init__(self, text: str) -> None:
        self._words = _words(text)
        self._at = 0
        self._depth = 0

    def all(self) -> float:
        result = self._sum(1)
        if self._next():
            raise _unreadable()
        return result

    def _next(self) -> str:
        return self._words[self._at] if self._at < len(self._words) else ""

    def _take(self) -> str:
        word = self._next()
        self._at += 1
        return word

    def _expect(self, word: str) -> None:
        if self._take() != word:
            raise _unreadable()

    def _sum(self, level: int) -> float:
        """Read what is joined by signs of this level and those that bind tighter."""
        self._depth += 1
        if self._depth > 3 * _DEEPEST:
            raise ToolError("invalid_arguments", "math.evaluate: this is nested too deeply", path="expression")
        left = self._signed()
        while self._next() in _SIGNS and _SIGNS[self._next()][0] >= level:
            binds, combine = _SIGNS[self._take()]
            left = _worked_out(combine, left, self._sum(binds + 1))
        self._depth -= 1
        return left

    def _signed(self) -> float:
        sign = 1
        while self._next() in ("+", "-"):
            sign *= -1 if self._take() == "-" else 1
        power = self._power()
        return sign * power

    def _power(self) -> float:
        """Read a power; it binds tighter than a sign before it, and is read from the right."""
        base = self._atom()
        if self._next() not in ("**", "^"):
            return base
        self._take()
        self._depth += 1
        if self._depth > 3 * _DEEPEST:
            raise ToolError("invalid_arguments", "math.evaluate: this is nested too deeply", path="expression")
        exponent = self._signed()
        self._depth -= 1
        return _worked_out(_power, base, exponent)

    def _atom(self) -> float:
        word = self._take()
        if word == "(":
            inner = self._sum(1)
            self._expect(")")
            return inner
        if word in _FUNCTIONS:
            return _worked_out(_FUNCTIONS[word], *self._arguments())
        if word in _NAMES:
            return _NAMES[word]
        if word[:1].isdecimal():
            return _bounded(int(word) if word.isdecimal() else float(word))
        raise _unreadable()

    def _arguments(self) -> list[float]:
        self._expect("(")
        found = [self._sum(1)]
        while self._next() == ",":
            self._take()
            found.append(self._sum(1))
        self._expect(")")
        return found


def _words(text: str) -> list[str]:
    found = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        word = _WORD.match(text, at)
        if word is None:
            raise _unreadable()
        found.append(word[0].strip())
        at = word.end()
    return found


def _power(base: float, exponent: float) -> float:
    if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0:
        # By its length, before it is worked out: it could have more digits than there is memory.
        if abs(base) > 1 and exponent * base.bit_length() > 4 * MOST.bit_length():
            raise OverflowError
        return int(base**exponent)
    return math.pow(base, exponent)


def _worked_out(function: Callable[..., float], *numbers: float) -> float:
    try:
        return _bounded(function(*numbers))
    except ZeroDivisionError:
        raise ToolError("invalid_arguments", "math.evaluate: something is divided by zero", path="expression") from None
    except OverflowError:
        raise _too_large() from None
    except (ValueError, TypeError):
        what = "a function is given what it doesn't take"
        raise ToolError("invalid_arguments", f"math.evaluate: {what}", path="expression") from None


def _bounded(number: float) -> float:
    if isinstance(number, int):
        if abs(number) > MOST:
            raise _too_large()
    elif not math.isfinite(number):
        raise _too_large()
    return number


def _unreadable() -> ToolError:
    return ToolError(
        "invalid_arguments", "math.evaluate: this is no expression, such as 2 * (3 + 4)", path="expression"
    )


def _too_large() -> ToolError:
    return ToolError(
        "invalid_arguments", "math.evaluate: a number in it, or its result, is too large", path="expression"
    )
