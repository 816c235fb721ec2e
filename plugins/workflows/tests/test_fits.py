from __future__ import annotations

import datetime as dt
import enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec.inspect import type_info

from tta_workflows.fits import NoField, fits, follow, name_of


class Here(msgspec.Struct, frozen=True):
    name: str
    ways: list[str] = []
    next: Here | None = None


class Place(msgspec.Struct, frozen=True):
    name: str
    next: Place | None = None


class Named(msgspec.Struct, frozen=True):
    name: int


class Lit(enum.Enum):
    DARK = "dark"


class Other(msgspec.Struct, frozen=True):
    light: str


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (str, str), (str, str | None), (str | None, str), (int, float), (int, int | str), (Any, str), (str, Any),
        (str, Annotated[str, msgspec.Meta(min_length=1)]), (Literal["a"], str), (str, Literal["a"]), (Lit, str),
        (list[int], tuple[float, ...]), (frozenset[str], list[str]), (dict[str, Any], Here), (Here, dict[str, Any]),
        (Here, Here), (Here, Place), (str, dt.date),
    ],
)  # fmt: skip
def test_types_that_fit(given: Any, wanted: Any) -> None:
    assert fits(type_info(given), type_info(wanted))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (int, str), (float, int), (bool, int), (str | int, str), (str, list[str]), (list[int], list[str]),
        (Here, str), (dict[str, int], list[int]), (Here, Named), (Here, Other), (Literal["a"], int), (Lit, int),
    ],
)  # fmt: skip
def test_types_that_do_not_fit(given: Any, wanted: Any) -> None:
    assert not fits(type_info(given), type_info(wanted))


@pytest.mark.parametrize(
    ("path", "name", "missing"),
    [
        ("", "Here", False), ("name", "str", False), ("ways", "list[str]", False), ("next", "Here", True),
        ("next.name", "str", True),
    ],
)  # fmt: skip
def test_a_path_leads_to_a_type_that_may_be_missing(path: str, name: str, missing: bool) -> None:
    type, found = follow(type_info(Here), path.split(".") if path else [])
    assert (name_of(type), found) == (name, missing)


def test_a_path_into_a_mapping_leads_to_its_values() -> None:
    assert name_of(follow(type_info(dict[str, int]), ["x"])[0]) == "int"
    assert name_of(follow(type_info(dict[str, Any]), ["x", "y"])[0]) == "Any"


@pytest.mark.parametrize(("path", "known"), [("nam", ["name", "ways", "next"]), ("name.first", [])])
def test_a_path_to_nothing_names_what_there_is(path: str, known: list[str]) -> None:
    with pytest.raises(NoField) as caught:
        follow(type_info(Here), path.split("."))
    assert list(caught.value.known) == known


@pytest.mark.parametrize(
    ("type", "name"),
    [
        (Annotated[int, msgspec.Meta(ge=0)], "int"), (Here | None, "Here | None"), (Literal["a", "b"], "'a' | 'b'"),
        (dt.date, "Date"), (Any, "Any"), (tuple[int, ...], "list[int]"), (Lit, "Lit"),
    ],
)  # fmt: skip
def test_types_are_written_as_their_author_would(type: Any, name: str) -> None:
    assert name_of(type_info(type)) == name
