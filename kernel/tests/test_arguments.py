"""Arguments of commands: what is none is told with what would be one, whatever was typed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import pytest

from tta_program.arguments import duration, some_time, whole_number, whole_number_to


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (whole_number, "1", 1), (whole_number, "500", 500), (whole_number_to(10), "10", 10),
        (duration, "0", 0.0), (duration, "90", 90.0), (duration, "1.5", 1.5), (duration, "15m", 900.0),
        (some_time, "500ms", 0.5),
    ],
)  # fmt: skip
def test_a_right_one_is_read(read: Callable[[str], Any], text: str, value: float) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "told"),
    [
        (whole_number, "abc", "expected a whole number, at least 1"),
        (whole_number, "0", "expected a whole number, at least 1"),
        (whole_number, "-1", "expected a whole number, at least 1"),
        (whole_number, "1.5", "expected a whole number, at least 1"),
        (whole_number, "9" * 5000, "expected a whole number, at least 1"),
        (whole_number_to(10_000), "10001", "expected a whole number from 1 to 10,000"),
        (duration, "abc", "expected a duration such as '30s'"),
        (duration, "nan", "expected a duration such as '30s'"),
        (duration, "-5", "expected a duration such as '30s'"),
        (duration, "5x", "expected a duration such as '30s'"),
        (duration, "40000d", "expected at most '36500d'"),
        (duration, "9" * 5000, "expected a duration such as '30s'"),
        (some_time, "0", "expected more than 0"),
        (some_time, "0s", "expected more than 0"),
    ],
)
def test_a_wrong_one_is_told_with_what_would_be_right(read: Callable[[str], Any], text: str, told: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{told}"):
        read(text)
