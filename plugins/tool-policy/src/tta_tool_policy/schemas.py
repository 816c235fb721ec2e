"""Rules that ask whether all arguments together fit a JSON Schema; one that would check nothing is refused."""

from __future__ import annotations

from typing import Any

from .model import ToolCall
from .predicates import Condition, Held, is_plain

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_STRICT = {
    "$schema": _DRAFT,
    "$id": "urn:tta:strict",
    "$dynamicAnchor": "meta",
    "$ref": _DRAFT,
    "unevaluatedProperties": False,
}
"""The draft's own schema, and no words but the draft's at any depth: a misspelt one would let everything through."""


def for_schema(schema: dict[str, Any], *, fits: bool) -> Condition:
    """Ask that the arguments fit a schema, or that they don't; raise a ValueError for a schema that is none."""
    import jsonschema_rs  # Only a policy with a schema needs it.

    try:
        validator = jsonschema_rs.Draft202012Validator(
            schema,
            retriever=_nowhere,  # What stands elsewhere isn't fetched.
            pattern_options=jsonschema_rs.RegexOptions(),  # Linear time, whatever an operator writes.
            validate_formats=True,
            ignore_unknown_formats=False,
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"is no JSON Schema (2020-12): {str(error).splitlines()[0][:200]}") from None
    found = [*jsonschema_rs.Draft202012Validator(_STRICT).iter_errors(schema)]
    if found:
        # Whatever holds a wrong word is wrong, too: the deepest is what is meant.
        deepest = max(found, key=lambda error: len(error.instance_path))
        raise ValueError(f"has a word that JSON Schema (2020-12) hasn't: {deepest.message[:200]}")

    def holds(call: ToolCall) -> Held:
        return (validator.is_valid(call.arguments) is fits) if is_json(call.arguments) else None

    return Condition("arguments fit the schema" if fits else "arguments don't fit the schema", holds)


def is_json(value: Any, depth: int = 32) -> bool:
    """Say whether a value means to a schema what it means to a tool: plain, of JSON's kinds, in 64 bits, not deep."""
    kind = type(value)
    if kind is dict or kind is list:
        if not depth or (kind is dict and not all(type(key) is str and is_plain(key) for key in value)):
            return False
        return all(is_json(each, depth - 1) for each in (value.values() if kind is dict else value))
    if kind is int:
        return bool(-(2**63) <= value < 2**63)
    return kind in (str, float, bool, type(None)) and is_plain(value)


def _nowhere(uri: str) -> Any:
    raise ValueError("refers to what stands elsewhere")
