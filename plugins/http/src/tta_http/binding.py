"""From the parts of a request to the Struct that a handler takes, and from what it returns to JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, get_origin

import msgspec
from msgspec.structs import FieldInfo, fields

from tta_kernel.units import unwrap

from .problems import BAD_REQUEST, INVALID, FieldProblem, HttpProblem
from .routes import Route

_LISTS = (list, tuple, set, frozenset, Sequence)


def bind(
    route: Route, parameters: Mapping[str, str], query: Sequence[tuple[str, str]] = (), body: bytes | None = None
) -> msgspec.Struct:
    """Return the request that a route's handler takes; raises `HttpProblem`, which quotes nothing of what came."""
    if not (query or body or parameters or fields_of(route.request)):
        return route.request()
    given: dict[str, Any]
    if route.takes_body:
        if query:
            raise INVALID("what this route takes stands in the body", errors=[FieldProblem("query", "leave it out")])
        given = _decoded(body)
    else:
        if body:
            raise BAD_REQUEST("this route takes no body")
        given = _gathered(route, query)
    known = fields_of(route.request).keys()
    allowed = [name for name in known if name not in route.parameters]
    if not given.keys() <= {*allowed}:
        raise INVALID(errors=[FieldProblem("", f"there is an unknown name; known are: {', '.join(allowed) or 'none'}")])
    # A body has types; what stands in a path or a query is text, which "5" may be as well as a number.
    named = {**given, **parameters} if not route.takes_body else given
    try:
        if not route.takes_body or not parameters:
            return msgspec.convert(named, route.request, strict=route.takes_body)
        return msgspec.convert({**given, **_typed(route, parameters)}, route.request)
    except msgspec.ValidationError as exc:
        raise _invalid(exc) from None


def bind_form(route: Route, parameters: Mapping[str, str], form: Sequence[tuple[str, str]]) -> msgspec.Struct:
    """Return the request that a page's form has filled."""
    try:
        return msgspec.convert({**_gathered(route, form), **parameters}, route.request, strict=False)
    except msgspec.ValidationError as exc:
        raise _invalid(exc) from None


@cache
def fields_of(request: type[msgspec.Struct]) -> Mapping[str, FieldInfo]:
    """Return the fields of a request by the name that stands in the query or the body."""
    return {each.encode_name: each for each in fields(request)}


def is_list(field: FieldInfo) -> bool:
    """Say whether a field holds several, so that its name may stand in a query more than once."""
    bare, _ = unwrap(field.type)
    return (get_origin(bare) or bare) in _LISTS


def _gathered(route: Route, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    known = fields_of(route.request)
    given: dict[str, Any] = {}
    for name, value in pairs:
        field = known.get(name)
        if field is not None and is_list(field):
            given.setdefault(name, []).append(value)
        elif name in given:
            raise INVALID(errors=[FieldProblem(name if field else "", "is there more than once")])
        else:
            given[name] = value
    return given


def _typed(route: Route, parameters: Mapping[str, str]) -> dict[str, Any]:
    known = fields_of(route.request)
    return {name: msgspec.convert(value, known[name].type, strict=False) for name, value in parameters.items()}


def _decoded(body: bytes | None) -> dict[str, Any]:
    if not body:
        return {}
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Nothing of the message: it can hold a piece of what was sent.
        raise BAD_REQUEST("the body is no JSON") from None
    if not isinstance(found, dict):
        raise INVALID("the body is a JSON object")
    return found


def _invalid(exc: msgspec.ValidationError) -> HttpProblem:
    """Tell what is due, and where, and not what is there instead."""
    text, _, path = str(exc).partition(" - at `$")
    where = re.sub(r"^\.", "", path.rstrip("`"))
    if text.startswith("Object contains unknown field"):
        return INVALID(errors=[FieldProblem(where, "holds an unknown name")])
    if "`" in text and not re.match(r"(Expected|Object missing)", text):
        # "Invalid enum value 'x'", and the like: what it says of the value is what was sent.
        text = "is none of the values that are possible"
    return INVALID(errors=[FieldProblem(where, _expected(text))])


def _expected(text: str) -> str:
    if text.startswith("Expected"):
        return text.partition(", got ")[0].lower().replace("`", "")
    missing = re.match(r"Object missing required field `(\w+)`", text)
    if missing:
        return f"{missing[1]} is missing"
    return "is none of the values that are possible"
