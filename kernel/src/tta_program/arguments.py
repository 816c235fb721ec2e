"""Types for arguments of commands: what is none is told with what would be one."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable

from tta_kernel.units import measure


def whole_number(text: str) -> int:
    """Read a whole number from 1 up."""
    return _whole(text, "a whole number, at least 1", math.inf)


def whole_number_to(most: int) -> Callable[[str], int]:
    """Return what reads a whole number from 1 to ``most``."""
    return lambda text: _whole(text, f"a whole number from 1 to {most:,}", most)


def duration(text: str) -> float:
    """Read seconds: a number of them, or such as ``15m``."""
    try:
        # Text from a shell, where a file would have a number.
        return float(measure(float(text) if re.fullmatch(r"\d{1,15}(\.\d{1,9})?", text) else text, "seconds"))
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def some_time(text: str) -> float:
    """Read a `duration` that isn't 0."""
    if not (seconds := duration(text)):
        raise argparse.ArgumentTypeError("expected more than 0")
    return seconds


def _whole(text: str, what: str, most: float) -> int:
    # Not `int`, whose error argparse tells with the name of this function; and no number is longer.
    if not re.fullmatch(r"-?\d{1,18}", text) or not 1 <= (found := int(text)) <= most:
        raise argparse.ArgumentTypeError(f"expected {what}")
    return found
