"""A declaration: made of a function, held against it, and against the limits; and what a new version may change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta
from msgspec.structs import replace

from tta_tools import Config, Reporter, Tool, ToolExample, ToolParameter, ToolSpec, is_name, split_id, tool
from tta_tools.checking import breaking, may_break, problems
from tta_tools.testing import spec


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Place(msgspec.Struct):
    name: Annotated[str, Meta(max_length=20)]
    near: list[str] = []


class Nested(msgspec.Struct):
    inner: list[Nested]


def found(
    place: Place, kind: Literal["a", "b"], /, *, count: Annotated[int, Meta(ge=1, description="How many.")] = 3
) -> list[Place]:  # fmt: skip
    raise NotImplementedError


def search(
    place: Place, kind: Literal["a", "b"], progress: Reporter, count: Annotated[int, Meta(ge=1, description="N.")] = 3,
    since: datetime | None = None,
) -> list[Place]:  # fmt: skip
    """Search for
    places.

    More of it.
    """
    raise NotImplementedError


def test_the_schema_comes_from_the_annotations() -> None:
    made = Tool.of(search, name="kg.search", version="1.2.0", safety_flags=["network"]).spec
    place = {
        "title": "Place", "type": "object", "required": ["name"],
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "near": {"type": "array", "items": {"type": "string"}, "default": []},
        },
    }  # fmt: skip
    assert made.description == "Search for places."
    assert made.safety_flags == ("network",)
    assert [(each.name, each.required, each.description) for each in made.parameters] == [
        ("place", True, ""), ("kind", True, ""), ("count", False, "N."), ("since", False, ""),
    ]  # fmt: skip
    schemas = {each.name: each.schema for each in made.parameters}
    assert schemas["place"] == place
    assert schemas["kind"] == {"enum": ["a", "b"]}
    assert schemas["count"] == {"type": "integer", "minimum": 1, "default": 3}
    assert made.returns_schema == {"type": "array", "items": place}
    assert [*problems(made, Config())] == []


def test_a_function_stays_what_it_was_and_can_be_found_by_reference() -> None:
    @tool(name="math.add", version="1.0.0", description="Add.")
    def add(a: int, b: int) -> int:
        return a + b

    assert add(1, 2) == 3
    assert (add.spec.reference, add.callable) == (None, "")
    made = tool(name="math.search", version="1.0.0")(search)
    assert made.spec.callable == f"{__name__}:search"
    assert made.callable == f"{__name__}:search"
    with pytest.raises(TypeError, match="put @tool on a function"):
        add.bind(name="math.one", version="1.0.0", bound={"b": 1})
    bound = made.bind(name="math.near", version="1.0.0", bound={"kind": "a"})
    assert [each.name for each in bound.spec.parameters] == ["place", "count", "since"]
    assert bound.typed({"place": {"name": "x"}}) == {"kind": "a", "place": Place("x")}
    with pytest.raises(TypeError, match="no parameter 'other'"):
        made.bind(name="math.near", version="1.0.0", bound={"other": "a"})


def generator() -> Any:
    yield 1


async def pieces() -> AsyncIterator[int]:
    yield 1


def takes(*names: str) -> None:
    raise NotImplementedError


def recursive(of: Nested) -> None:
    raise NotImplementedError


def number(a: int, b: int = 1) -> int:
    raise NotImplementedError


def unreadable(a: Callable[[], int]) -> int:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("function", "declared", "said"),
    [
        (generator, {}, "generator"),
        (pieces, {}, "generator"),
        (takes, {}, "given by its name"),
        (found, {}, "given by its name"),
        (recursive, {}, "holds itself"),
        (unreadable, {}, "can't be a tool"),
        (number, {"parameters": ()}, "doesn't declare 'a'"),
        (number, {"parameters": (ToolParameter(name="a", required=False),)}, "may be left out"),
        (number, {"parameters": (ToolParameter(name="a"), ToolParameter(name="c"))}, "doesn't take"),
        (number, {"parameters": (ToolParameter(name="a", schema={"type": "string"}),)}, "takes integer"),
    ],
)
def test_a_declaration_is_held_against_the_function(function: Any, declared: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Tool.of(function, name="some.tool", version="1.0.0", description="Some.", **declared)


def deep(levels: int) -> dict[str, Any]:
    return {"type": "array", "items": deep(levels - 1)} if levels > 1 else {"type": "integer"}


def with_schema(schema: Any) -> dict[str, Any]:
    return {"parameters": (ToolParameter(name="a", schema=schema),)}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"version": "1.x"}, "declaration"), ({"version": "1.0"}, "declaration"),
        ({"version": "01.0.0"}, "declaration"),
        ({"name": "Dice"}, "declaration"), ({"name": "di"}, "declaration"), ({"name": "d\u0456ce"}, "declaration"),
        ({"name": "a" * 129}, "declaration"), ({"name": "dice.."}, "declaration"), ({"name": 7}, "declaration"),
        ({"description": ""}, "declaration"), ({"description": "x" * 2049}, "declaration"),
        ({"description": "\x1b[2J"}, "can't be shown"), ({"timeout": -1.0}, "declaration"),
        ({"parameters": tuple(ToolParameter(name=f"p{n}") for n in range(17)), "examples": ()}, "17 parameters"),
        ({"parameters": (ToolParameter(name="a"),) * 2, "examples": ()}, "'a' twice"),
        ({**with_schema(deep(6)), "examples": ()}, "deeper than 5"),
        ({"returns_schema": deep(6)}, "deeper than 5"),
        ({**with_schema({"$ref": "http://localhost/x"}), "examples": ()}, "write out"),
        ({**with_schema({"type": "intger"}), "examples": ()}, "no schema"),
        ({**with_schema({"items": {"maxlength": 2}}), "examples": ()}, "doesn't know"),
        ({**with_schema({"pattern": "(?=a)"}), "examples": ()}, "no schema"),
        ({**with_schema({"properties": {"a": 7}}), "examples": ()}, "something else than a schema"),
        ({**with_schema({"enum": [float("nan")]}), "examples": ()}, ""),
        ({**with_schema({"title": "x" * 70_000}), "examples": ()}, "bytes"),
        ({"cache_ttl": 5.0}, "isn't idempotent"),
        ({"examples": (ToolExample(parameters={"none": 1}),)}, "no parameter"),
        ({"examples": (ToolExample(parameters={}),) * 6}, "declaration"),
        ({"related_tools": ("x",)}, "declaration"), ({"safety_flags": ("shell exec",)}, "declaration"),
    ],
)  # fmt: skip
def test_what_a_declaration_may_not_say(changed: Any, said: str) -> None:
    assert [*problems(spec(), Config())] == []
    assert said in " ".join(problems(replace(spec(), **changed), Config()))


def test_the_signature_is_the_predecessor_s() -> None:
    for description in ("any", "other"):
        assert ToolSpec(name="abc", version="1.0.0", description=description).signature == "2c1dd918cf670009"


def test_ids_are_names_with_or_without_a_version() -> None:
    assert split_id("kg.query:1.2.0-rc.1") == ("kg.query", "1.2.0-rc.1")
    assert split_id("dice") == ("dice", "")
    for wrong in ("Dice", "dice:", "dice:1", ":1.0.0", "di ce", ""):
        if wrong != "dice:":
            with pytest.raises(ValueError, match="is no tool"):
                split_id(wrong)
    assert not is_name("x" * 200)


OLD = spec(
    parameters=(
        ToolParameter(name="a", schema={"type": "integer", "minimum": 1, "maximum": 9}),
        ToolParameter(name="b", required=False, schema={"enum": ["x", "y"]}),
    ),
    examples=(), returns_schema={"type": ["integer", "null"]},
)  # fmt: skip


def parameters(**schemas: Any) -> tuple[ToolParameter, ...]:
    given = {"a": OLD.parameters[0].schema, "b": OLD.parameters[1].schema, **schemas}
    return tuple(
        ToolParameter(name=name, required=name != "b", schema=schema)
        for name, schema in given.items()
        if schema is not None
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        ({"description": "Other."}, ""),
        ({"parameters": (*OLD.parameters, ToolParameter(name="c", required=False))}, ""),
        ({"parameters": parameters(a={"type": "integer", "minimum": 0})}, ""),
        ({"parameters": parameters(a={"type": "number", "maximum": 10})}, ""),
        ({"parameters": parameters(a={})}, ""),
        ({"parameters": parameters(b={"enum": ["x", "y", "z"]})}, ""),
        ({"returns_schema": {"type": "integer"}}, ""),
        ({"returns_schema": {"type": "integer", "minimum": 1}}, ""),
        ({"parameters": parameters(b=None)}, "'b' is gone"),
        ({"parameters": (*OLD.parameters, ToolParameter(name="c"))}, "'c' is new and required"),
        ({"parameters": tuple(replace(each, required=True) for each in OLD.parameters)}, "'b' is required now"),
        ({"parameters": parameters(a={"type": "string"})}, "'a' takes less: `type`"),
        ({"parameters": parameters(a={"type": "integer", "minimum": 2, "maximum": 9})}, "'a' takes less: `minimum`"),
        ({"parameters": parameters(a={"type": "integer", "multipleOf": 2})}, "'a' takes less: `multipleOf`"),
        ({"parameters": parameters(b={"enum": ["x"]})}, "'b' takes less: `enum`"),
        ({"returns_schema": {"type": ["integer", "string"]}}, "may be what it wasn't: `type`"),
        ({"returns_schema": {}}, "may be what it wasn't"),
        ({"safety_flags": ("network",)}, "reaches further: network"),
    ],
)
def test_what_breaks_callers_is_seen(changed: Any, said: str) -> None:
    assert said in "; ".join(breaking(OLD, replace(OLD, version="1.1.0", **changed)))
    assert bool(said) is bool([*breaking(OLD, replace(OLD, version="1.1.0", **changed))])


def test_a_new_major_version_may_break() -> None:
    assert [may_break("1.2.0", new) for new in ("1.2.1", "1.3.0", "2.0.0")] == [False, False, True]
    assert [may_break("0.2.0", new) for new in ("0.2.1", "0.3.0", "1.0.0")] == [False, True, True]
