"""What a declaration may say, and what a new version of a tool may change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tta_capabilities.versions import version

from . import schema
from .model import ToolParameter, ToolSpec
from .settings import Config

_ANNOTATIONS = frozenset({"default", "deprecated", "description", "examples", "title"})
_UPPER = frozenset({"exclusiveMaximum", "maxContains", "maxItems", "maxLength", "maxProperties", "maximum"})
_LOWER = frozenset({"exclusiveMinimum", "minContains", "minItems", "minLength", "minProperties", "minimum"})


def problems(spec: ToolSpec, config: Config) -> Iterator[str]:
    """Yield what is wrong with a declaration, whoever made it: a Struct checks nothing when it is built."""
    try:
        msgspec.json.decode(msgspec.json.encode(spec), type=ToolSpec)
        version(spec.version)
    except (msgspec.ValidationError, TypeError, ValueError, OverflowError, RecursionError) as exc:
        yield f"is no declaration: {exc}" if isinstance(exc, msgspec.ValidationError) else "is no declaration"
        return
    names = [each.name for each in spec.parameters]
    if len(names) > config.max_params:
        yield f"has {len(names)} parameters, and {config.max_params} are the most: take an object for some"
    if twice := sorted({name for name in names if names.count(name) > 1}):
        yield f"has the parameter {twice[0]!r} twice"
    for each in spec.parameters:
        for wrong in schema.problems(each.schema, config.max_schema_depth):
            yield f"parameter {each.name!r}: its schema {wrong}"
    for wrong in schema.problems(spec.returns_schema, config.max_schema_depth):
        yield f"the result's schema {wrong}"
    if spec.cache_ttl is not None and not spec.idempotent:
        yield "has `cache_ttl` and isn't idempotent: its results can't be used again"
    alone = spec.isolation == "process" or spec.memory is not None or spec.cpu_percent is not None
    if alone and spec.reference is None:
        yield "runs in a process of its own, and so needs a reference: put @tool on a function of a module"
    if not spec.description.isprintable():
        yield "has a description with characters that can't be shown"
    for number, example in enumerate(spec.examples, 1):
        if unknown := sorted(example.parameters.keys() - {*names}):
            yield f"example {number} has {unknown[0][:64]!r}, which is no parameter"


def breaking(old: ToolSpec, new: ToolSpec) -> Iterator[str]:
    """Yield what would break callers of ``old``: it may come with a new major version only.

    What can't be seen to take all that was taken before counts as breaking.
    """
    before = {each.name: each for each in old.parameters}
    after = {each.name: each for each in new.parameters}
    for name in sorted(before.keys() - after.keys()):
        yield f"the parameter {name!r} is gone"
    for name, parameter in after.items():
        if name in before:
            yield from _of_parameter(before[name], parameter)
        elif parameter.required:
            yield f"the parameter {name!r} is new and required"
    # What is promised may only become narrower: the old schema takes all that the new one does.
    if old.returns_schema and (wrong := _narrower(new.returns_schema, old.returns_schema)):
        yield f"the result may be what it wasn't: {wrong}"
    if more := sorted({*new.safety_flags} - {*old.safety_flags}):
        yield f"it reaches further: {', '.join(more)}"


def may_break(old: str, new: str) -> bool:
    """Say whether a version may break what the other one kept: another major version, or another minor one of 0."""
    before, after = version(old), version(new)
    if before.major or after.major:
        return before.major != after.major
    return before.minor != after.minor


def _of_parameter(before: ToolParameter, after: ToolParameter) -> Iterator[str]:
    if after.required and not before.required:
        yield f"the parameter {after.name!r} is required now"
    if wrong := _narrower(before.schema, after.schema):
        yield f"the parameter {after.name!r} takes less: {wrong}"


def _narrower(wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> str:
    """Say by which word ``narrow`` may refuse what ``wide`` takes; "" where it takes all of it."""
    for word in sorted((wide.keys() | narrow.keys()) - _ANNOTATIONS):
        if word in narrow and not _takes(word, wide, narrow):
            return f"`{word}`"
        if word not in narrow and word in ("properties", "patternProperties", "prefixItems"):
            # What these leave open, `additionalProperties` and `items` may close.
            return f"`{word}`"
    return ""


def _takes(word: str, wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> bool:
    before, after = wide.get(word), narrow[word]
    if before == after and word in wide:
        return True
    if word == "type":
        return _types(before) <= _types(after)
    if word == "enum":
        return before is not None and all(each in after for each in before)
    if word in _UPPER:
        return word in wide and before <= after
    if word in _LOWER:
        return word in wide and before >= after
    if word == "required":
        return {*after} <= {*(before or ())}
    if word in ("items", "additionalProperties") and isinstance(before, Mapping) and isinstance(after, Mapping):
        return not _narrower(before, after)
    if word == "properties" and isinstance(before, Mapping):
        same = before.keys() <= after.keys()
        return same and not any(_narrower(before.get(name, {}), each) for name, each in after.items())
    return after is True or after == {}


def _types(said: Any) -> set[str]:
    if said is None:
        return {"array", "boolean", "integer", "null", "number", "object", "string"}
    found = {said} if isinstance(said, str) else {*said}
    return found | ({"integer"} if "number" in found else set())
