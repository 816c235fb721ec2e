"""Tuples of fixed length, and literal values, as hooks' answers and Structs have them."""

from typing import Any, Literal

import pytest

from tta_kernel import Health
from tta_kernel.shapes import fits


@pytest.mark.parametrize(
    ("value", "wanted", "right"),
    [
        (("a", 1), tuple[str, int], True),
        (("a", "b"), tuple[str, int], False),
        (("a",), tuple[str, int], False),
        (("a", 1, 2), tuple[str, int], False),
        ((1, 2, 3), tuple[int, ...], True),
        ((1, "b"), tuple[int, ...], False),
        ([("a", 1)], list[tuple[str, int]], True),
        ("ok", Literal["ok", "failing"], True),
        ("nonsense", Literal["ok", "failing"], False),
        (None, Literal["ok"] | None, True),
        (Health("ok"), Health, True),
        (Health("nonsense"), Health, False),  # type: ignore[arg-type]
    ],
)
def test_a_value_fits_an_annotation_or_does_not(value: object, wanted: Any, right: bool) -> None:
    assert fits(value, wanted) is right
