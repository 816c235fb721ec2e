"""JSON Schemas of arguments and results: which are taken, how deep they go, and where a value doesn't fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import jsonschema_rs
import msgspec

from .model import Schema, ToolError, ToolParameter

MOST_BYTES = 65_536
"""How long a tool's schemas may be, as JSON: each process that looks the tool up compiles them."""

_SINGLE = frozenset({
    "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then", "unevaluatedItems",
    "unevaluatedProperties",
})  # fmt: skip
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED = frozenset({"dependentSchemas", "patternProperties", "properties"})
_PLAIN = frozenset({
    "const", "default", "dependentRequired", "deprecated", "description", "enum", "examples", "exclusiveMaximum",
    "exclusiveMinimum", "format", "maxContains", "maxItems", "maxLength", "maxProperties", "maximum", "minContains",
    "minItems", "minLength", "minProperties", "minimum", "multipleOf", "pattern", "required", "title", "type",
    "uniqueItems",
})  # fmt: skip
_SIDEWAYS = frozenset({"allOf", "anyOf", "else", "if", "not", "oneOf", "propertyNames", "then"})
"""What says more of the same value, and goes no deeper into it."""
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_encode = msgspec.json.Encoder(order="deterministic").encode


def problems(schema: object, most: int) -> Iterator[str]:
    """Yield what is wrong with a schema from a stranger, that goes at most ``most`` deep.

    Words that the draft doesn't have are refused, since a misspelt one would check nothing; and so are references:
    the library would look for them over the network.
    """
    try:
        text = _encode(schema)
    except (TypeError, ValueError, OverflowError, RecursionError):
        yield "is no JSON"
        return
    if len(text) > MOST_BYTES:
        yield f"has {len(text)} bytes, and {MOST_BYTES} are the most"
        return
    found = [*_problems(msgspec.json.decode(text), most, 1)]
    yield from found
    if not found:
        try:
            _compiled(text)
        except jsonschema_rs.ValidationError as exc:
            yield f"is no schema of draft 2020-12: at {_dotted(exc.instance_path) or 'its top'}, `{exc.kind.name}`"
        except ValueError as exc:
            yield f"is no schema of draft 2020-12: {type(exc).__name__}"


def _problems(schema: Any, most: int, depth: int) -> Iterator[str]:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        yield "has something else than a schema where one is due"
        return
    if depth > most:
        yield f"goes deeper than {most}: flatten it, or take text"
        return
    for word, value in schema.items():
        deeper = depth if word in _SIDEWAYS else depth + 1
        if word in _SINGLE:
            yield from _problems(value, most, deeper)
        elif word in _LISTS and isinstance(value, list):
            for each in value:
                yield from _problems(each, most, deeper)
        elif word in _NAMED and isinstance(value, dict):
            for each in value.values():
                yield from _problems(each, most, deeper)
        elif word.startswith("$"):
            yield f"has {word[:32]!r}: write out what it refers to"
        elif word not in _PLAIN:
            yield f"has {word[:32]!r}, which draft 2020-12 doesn't know here"


def schema_of(parameters: Sequence[ToolParameter]) -> Schema:
    """Return the schema of all arguments together; others than these there can't be."""
    return {
        "type": "object",
        "properties": {each.name: dict(each.schema) for each in parameters},
        "required": [each.name for each in parameters if each.required],
        "additionalProperties": False,
    }


def inlined(schema: Any, definitions: Mapping[str, Any], within: tuple[str, ...] = ()) -> Any:
    """Return a schema as msgspec makes it, with what it refers to in place; ValueError for a type that holds itself."""
    if isinstance(schema, list):
        return [inlined(each, definitions, within) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(reference := schema.get("$ref"), str):
        name = reference.rpartition("/")[2]
        if name in within:
            raise ValueError(f"{name} holds itself, and a tool's schema has an end: take text, or a flat list")
        found = inlined(definitions[name], definitions, (*within, name))
        return found | {word: value for word, value in schema.items() if word != "$ref"}
    return {word: inlined(value, definitions, within) for word, value in schema.items() if word != "discriminator"}


_WAYS = 4
"""Of how many ways in which a value may fit it is told what they want."""


class Shape:
    """A schema, ready to look at values; equal ones share what is compiled."""

    def __init__(self, schema: Schema) -> None:
        self._validator = _compiled(_encode(schema)) if schema else None

    def fits(self, value: object) -> bool:
        """Say whether a value of builtins fits."""
        return self._validator is None or self._validator.is_valid(value)

    def error(self, value: object, code: Any, what: str) -> ToolError:
        """Say where a value doesn't fit, and what the schema wants there; nothing of the value."""
        assert self._validator is not None
        try:
            found = next(iter(self._validator.iter_errors(value)))
        except (StopIteration, ValueError):
            return ToolError(code, f"{what} don't fit their schema")
        path = _dotted(found.instance_path)
        return ToolError(code, f"{what}{'.' if path else ''}{path}: {_wanted(found)}", path=path)


@lru_cache(1024)
def _compiled(text: bytes) -> jsonschema_rs.Draft202012Validator:
    # Patterns take time in proportion to the text: they may be a stranger's, and so may the text.
    return jsonschema_rs.Draft202012Validator(
        msgspec.json.decode(text), pattern_options=jsonschema_rs.RegexOptions(), validate_formats=True
    )


def _wanted(found: jsonschema_rs.ValidationError) -> str:
    kind = found.kind
    match kind:
        case jsonschema_rs.ValidationErrorKind.Required():
            return f"{_name(kind.property)} is missing"
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties():
            return f"{', '.join(map(_name, kind.unexpected[:3]))} isn't expected"
        case jsonschema_rs.ValidationErrorKind.Type():
            return f"must be {' or '.join(kind.types)}"
        case jsonschema_rs.ValidationErrorKind.Format():
            return f"must be a {kind.format}"
        case jsonschema_rs.ValidationErrorKind.AnyOf():
            # In none of the ways in which it may: what each of the first ones wants.
            ways = dict.fromkeys(_wanted(errors[0]) for errors in kind.context[:_WAYS] if errors)
            return " or ".join(ways) or "doesn't fit `anyOf`"
    limit = getattr(kind, "limit", None)
    return f"doesn't fit `{kind.name}`" + (f" of {limit}" if isinstance(limit, int | float) else "")


def _dotted(path: Sequence[str | int]) -> str:
    return ".".join(str(part) if isinstance(part, int) else _name(part) for part in path)


def _name(text: Any) -> str:
    """Return a name that whoever calls may have chosen: what isn't like one may be a person's text."""
    return text if isinstance(text, str) and _IDENTIFIER.fullmatch(text) else "(a name)"
