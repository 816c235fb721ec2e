"""Values against a Struct, and how each mistake is told."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from tta_kernel import Duration, KernelSettings, Size
from tta_program import load

from .common import (
    Limits,
    Picky,
    Store,
    Strict,
    decoded,
    problem_in,
    problems_in,
    settings_of,
)


def test_a_plugin_without_a_section_gets_its_defaults() -> None:
    assert KernelSettings().decode("limits", Limits) == Limits()


def test_all_problems_of_a_section_come_at_once() -> None:
    config = {
        "retries": "x",
        "retris": 1,
        "limits": {"per_minute": 0, "pause": "x"},
        "rules": [{}, {"pause": -1}, 5],
        "by_name": {"a": {"pauze": 1}},
    }
    assert [problem.partition(": ")[0] for problem in problems_in(config)] == [
        f"plugins.store.config.{key}"
        for key in (
            "retris",
            "url",
            "retries",
            "limits.per_minute",
            "limits.pause",
            "rules.1.pause",
            "rules.2",
            "by_name.a.pauze",
        )
    ]


@pytest.mark.parametrize("value", ["hunter2", ["hunter2"], {"hunter2": 1}, {"a": "hunter2"}, "db://me:hunter2@example"])
@pytest.mark.parametrize("key", ["retries", "mode", "colour", "limits", "size", "timeout", "rules"])
def test_no_message_quotes_a_value(key: str, value: object) -> None:
    class Coloured(Store, frozen=True):
        colour: Colour | None = None

    said = problems_in({"url": "x", key: value}, Coloured)
    assert "hunter2" not in str(said).replace("hunter2: unknown key", "")


def test_constraints_are_enforced() -> None:
    class Bound(Struct, frozen=True, forbid_unknown_fields=True):
        name: Annotated[str, Meta(pattern="^[a-z]+$")]
        names: Annotated[list[str], Meta(min_length=2)]
        optional: Annotated[int, Meta(le=3)] | None = None
        table: Annotated[dict[str, int], Meta(max_length=1)] = {}
        at_least: Annotated[Duration, Meta(ge=1)] = 1.0

    config = {"name": "A1", "optional": 4, "names": ["a"], "table": {"a": 1, "b": 2}}
    prefix = "plugins.store.config."
    assert problems_in({**config, "at_least": "500ms"}, Bound) == [
        f"{prefix}name: expected str matching regex '^[a-z]+$'",
        f"{prefix}names: expected a list of length >= 2",
        f"{prefix}optional: expected int <= 3",
        f"{prefix}table: expected a mapping of length <= 1",
        f"{prefix}at_least: expected float >= 1.0",
    ]
    assert problem_in({"name": "a", "names": []}, Bound).endswith(
        "names: expected a list of length >= 2, got an empty list"
    )


def test_what_a_struct_itself_objects_to_is_a_problem() -> None:
    class Outer(Strict, frozen=True):
        first: Picky
        second: Picky
        count: int = 0

    bad = {"low": 5, "high": 1}
    assert problems_in({"first": bad, "second": bad, "count": "x"}, Outer) == [
        "plugins.store.config.first: low lies above high",
        "plugins.store.config.second: low lies above high",
        "plugins.store.config.count: expected int, got str",
    ]
    assert problem_in(bad, Picky) == "plugins.store.config: low lies above high"


def test_a_renamed_field_goes_by_its_name_in_the_file() -> None:
    class Camel(Strict, frozen=True, rename="camel"):
        max_size: Size = 0

    assert settings_of({"maxSize": "1kB"}).decode("store", Camel) == Camel(max_size=1000)
    assert "did you mean 'maxSize'?" in problem_in({"max_size": 1}, Camel)


def test_a_struct_that_tolerates_unknown_keys_does() -> None:
    class Tolerant(Struct, frozen=True):
        a: int = 0

    assert settings_of({"a": 1, "b": 2}).decode("store", Tolerant) == Tolerant(a=1)


class Colour(Enum):
    RED = "red"


class Exotic(Struct, frozen=True, forbid_unknown_fields=True):
    either: int | str = 0
    pair: tuple[Duration, Size] = (0.0, 0)
    many: tuple[Duration, ...] = ()
    names: frozenset[str] = frozenset()
    waits: Sequence[Duration] = ()
    colour: Colour = Colour.RED
    table: Mapping[str, list[Duration]] = {}
    wait: Duration | None = None


@pytest.mark.parametrize(
    ("key", "raw", "value"),
    [
        ("either", "x", "x"),
        ("either", 5, 5),
        ("pair", ["1m", "1kB"], (60.0, 1000)),
        ("many", ["1m", 5], (60.0, 5.0)),
        ("names", ["a", "b", "a"], frozenset({"a", "b"})),
        ("waits", ["1s"], [1.0]),
        ("colour", "red", Colour.RED),
        ("table", {"a": ["1s", "2s"]}, {"a": [1.0, 2.0]}),
        ("wait", "1s", 1.0),
        ("wait", None, None),
    ],
)
def test_unions_and_collections_are_read(key: str, raw: object, value: object) -> None:
    assert getattr(settings_of({key: raw}).decode("store", Exotic), key) == value


@pytest.mark.parametrize(
    ("key", "raw", "message"),
    [
        ("either", [], "either: expected int | str, got a list"),
        ("pair", ["1m"], "pair: expected a list of length 2"),
        ("pair", ["1m", "x"], "pair.1: expected a size"),
        ("colour", "blue", "colour: is not allowed"),
        ("names", [1], "names.0: expected str, got int"),
    ],
)
def test_a_problem_inside_a_union_or_collection_is_told(key: str, raw: object, message: str) -> None:
    assert problems_in({key: raw}, Exotic)[0].startswith(f"plugins.store.config.{message}")


class Quick(Strict, frozen=True, tag="quick"):
    wait: Duration


class Slow(Strict, frozen=True, tag="slow"):
    size: Size = 0


class Choosing(Strict, frozen=True):
    how: Quick | Slow = Slow()
    limits: Limits | bool = False
    only: Quick | None = None


@pytest.mark.parametrize(
    ("config", "value"),
    [
        ({}, Choosing()),
        ({"how": {"type": "quick", "wait": "1m"}}, Choosing(Quick(60.0))),
        ({"how": {"type": "slow", "size": "1kB"}}, Choosing(Slow(1000))),
        ({"limits": {"pause": "1m"}}, Choosing(limits=Limits(pause=60.0))),
        ({"limits": True}, Choosing(limits=True)),
        ({"only": {"wait": "1m"}}, Choosing(only=Quick(60.0))),
        ({"only": {"type": "quick", "wait": "1m"}}, Choosing(only=Quick(60.0))),
    ],
)
def test_a_struct_of_a_union_is_read_like_any_other(config: dict[str, Any], value: Choosing) -> None:
    assert settings_of(config).decode("store", Choosing) == value


class Switch(Enum):
    ON = "on"
    OFF = "off"


class Written(Struct, frozen=True, forbid_unknown_fields=True):
    literal: Literal["on", "off"] = "off"
    perhaps: Literal["1", "2"] | None = None
    switch: Switch = Switch.OFF
    factor: float = 0.0
    factors: list[float] = []
    note: str = ""


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("literal", "on", "on"),
        ("literal", "'on' ", "on"),
        ("perhaps", "1", "1"),
        ("switch", "on", Switch.ON),
        ("factor", "1e3", 1000.0),
        ("factor", "-2.5E-3", -0.0025),
        ("factors", "[1e3, 2]", [1000.0, 2.0]),
        ("note", "1e3", "1e3"),
        ("note", "{a: b}", "{a: b}"),
        ("note", "{a", "{a"),
    ],
)
def test_a_variable_is_read_as_its_field_is_meant(key: str, text: str, value: object) -> None:
    settings = load(environ={f"TTA__PLUGINS__STORE__CONFIG__{key.upper()}": text})
    assert getattr(settings.decode("store", Written), key) == value


def test_a_number_in_a_file_needs_no_dot_for_its_exponent_and_a_choice_may_need_quotes() -> None:
    assert settings_of({"factor": "1e-3"}).decode("store", Written).factor == 0.001
    assert problem_in({"factor": "e3"}, Written).endswith("factor: expected float, got str")
    assert problem_in({"literal": True}, Written).endswith("expected one of 'on', 'off'; put it in quotes")


def test_a_variable_may_say_which_struct_of_a_union_is_meant() -> None:
    prefix = "TTA__PLUGINS__STORE__CONFIG__HOW"
    settings = load(environ={f"{prefix}__TYPE": "quick", f"{prefix}__WAIT": "1m"})
    assert settings.decode("store", Choosing).how == Quick(60.0)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"how": {"type": "quick", "wiat": 1, "wait": 1}}, "how.wiat: unknown key; did you mean 'wait'?"),
        ({"how": {"type": "quick"}}, "how.wait: is missing; it has no default: set it"),
        ({"how": {"type": "odd"}}, "how: is not allowed"),
        ({"how": {"wait": 1}}, "how: object missing required field type"),
        ({"limits": {"per_minute": 0}}, "limits.per_minute: expected int >= 1"),
        ({"only": {"type": "slow", "wait": 1}}, "only: is not allowed"),
    ],
)
def test_what_is_wrong_in_a_struct_of_a_union_is_told_with_its_key(config: dict[str, Any], problem: str) -> None:
    assert problem_in(config, Choosing) == f"plugins.store.config.{problem}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("500ms", 0.5), ("35ms", 0.035), ("2m", 120), ("1h", 3600), ("1d", 86400),
     ("1.5h", 5400), ("2 m", 120), (30, 30), (0.25, 0.25), (0, 0)],
)  # fmt: skip
def test_a_duration_is_seconds(text: object, seconds: float) -> None:
    assert decoded(timeout=text).timeout == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GB", 4 * 10**9), ("4GiB", 2**32), ("512kB", 512_000), ("512KB", 512_000),
     ("1KiB", 1024), ("2MB", 2 * 10**6), ("2MiB", 2**21), ("1TB", 10**12), ("7B", 7),
     ("4.1GB", 4_100_000_000), ("1.5GiB", 3 * 2**29), (123, 123), (0, 0)],
)  # fmt: skip
def test_a_size_is_bytes(text: object, size: int) -> None:
    assert decoded(size=text).size == size


@pytest.mark.parametrize("bad", ["30", "soon", "5 parsecs", "", "s", "1h30m", "9" * 400 + "s", True,
                                 [], {}])  # fmt: skip
def test_a_duration_in_another_form_is_refused_with_examples(bad: object) -> None:
    problem = problem_in({"url": "x", "timeout": bad})
    assert "expected a duration such as '30s', '500ms', '2m', '1h', '1d' or a number" in problem


@pytest.mark.parametrize("bad", ["30", "big", "4gb", "4Gb", "", "9" * 400 + "GB", True])
def test_a_size_in_another_form_is_refused_with_examples(bad: object) -> None:
    problem = problem_in({"url": "x", "size": bad})
    assert "expected a size such as '4GB' (10**9), '4GiB' (2**30), '512kB'" in problem


@pytest.mark.parametrize("bad", [-1, "-1s", -0.5, math.nan])
def test_a_negative_duration_is_refused(bad: object) -> None:
    assert "expected a duration" in problem_in({"url": "x", "timeout": bad})


class Careless(Strict, frozen=True):
    word: str = ""

    def __post_init__(self) -> None:
        raise KeyError("hunter2")


def test_a_struct_that_raises_what_is_no_refusal_is_a_problem_that_quotes_nothing() -> None:
    said = problem_in({"word": "a"}, Careless)
    assert said.startswith("plugins.store.config: it raised KeyError at ")
    assert "hunter2" not in said
