"""Whether data fits what a definition says of it, told without quoting the data: it may be a person's text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from .plan import PlannedStep

CheckOutput = Callable[[str, str, Mapping[str, Any]], Sequence[str]]
"""Given a workflow, a step's path and its output: says what is wrong with that."""
_MOST = 5
"""How many objections are told at most."""


def objections(
    check_output: CheckOutput | None, workflow: str, step: PlannedStep, path: str, output: Mapping[str, Any]
) -> list[str]:  # fmt: skip
    """Return what is wrong with a step's output, by its schema and by whoever checks outputs."""
    found = misfits(step.step.response, output) if step.step.response is not None else []
    if check_output is not None:
        found.extend(check_output(workflow, path, output))
    return found[:_MOST]


def misfits(schema: Mapping[str, Any], value: Any) -> list[str]:
    """Return where a value doesn't fit a JSON Schema, and by which of its keywords."""
    errors = _validator(msgspec.json.encode(schema)).iter_errors(value)
    return [f"{each.json_path} breaks {each.validator!r}" for each, _ in zip(errors, range(_MOST), strict=False)]


def schema_problem(schema: Mapping[str, Any]) -> str:
    """Return what is wrong with a JSON Schema, or nothing: its form, and what it refers to."""
    # Large, and few definitions have a schema.
    from jsonschema import Draft202012Validator, SchemaError
    from referencing import Registry, Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as exc:
        return f"{exc.json_path}: {exc.message}"
    resource = Resource.from_contents(schema, default_specification=DRAFT202012)
    resolver = Registry().with_resource("", resource).resolver()
    try:
        for reference in _references(schema):
            try:
                resolver.lookup(reference)
            except Unresolvable:
                return f"there is nothing at {reference!r}"
        misfits(schema, {})
    except RecursionError:
        return "it refers to itself without end"
    return ""


def _references(schema: Any) -> Iterator[str]:
    """Yield what a schema refers to."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            yield from _references(value)
    elif isinstance(schema, list | tuple):
        for each in schema:
            yield from _references(each)


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    from jsonschema import Draft202012Validator
    from referencing import Registry

    # A registry of its own: nothing is fetched because a schema refers to it.
    return Draft202012Validator(msgspec.json.decode(schema), registry=Registry())
