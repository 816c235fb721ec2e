"""The OpenAPI document (3.1.1) of all routes, made from their Structs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from tta_http import (
    BAD_REQUEST,
    FAILED,
    FORBIDDEN,
    INVALID,
    LATE,
    MISDIRECTED,
    NOT_ACCEPTABLE,
    NOT_FOUND,
    PUBLIC,
    RATE_LIMITED,
    REQUEST_TIMEOUT,
    TOO_LARGE,
    UNAUTHENTICATED,
    UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
    Html,
    Media,
    ProblemDetails,
    ProblemType,
    Route,
    RouteTable,
    Stream,
    Upgrade,
)
from tta_http.binding import fields_of
from tta_http.table import Owned

from .negotiation import JSON, PROBLEM, essence

_TEMPLATE = "#/components/schemas/{name}"


def document(table: RouteTable, *, version: str, title: str = "TTA") -> dict[str, Any]:
    """Return the document; its paths are in order, so that two of them can be compared."""
    types = _types(each.route for each in table.owned)
    schemas, components = msgspec.json.schema_components(types, ref_template=_TEMPLATE)
    named: Mapping[type, Any] = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for owned in sorted(table.owned, key=lambda it: (it.route.path, it.route.method)):
        paths.setdefault(owned.route.path, {})[owned.route.method.lower()] = _operation(owned, named, components)
    return {
        "openapi": "3.1.1",
        "info": {"title": title, "version": version, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-AO-DIAG-KEY"},
            },
        },
    }


def _types(routes: Iterable[Route]) -> list[type]:
    found: dict[type, None] = {ProblemDetails: None}
    for route in routes:
        found[route.request] = None
        form = route.response
        if isinstance(form, type):
            found[form] = None
        elif isinstance(form, Media) and form.schema is not None:
            found[form.schema] = None
    return [*found]


def _operation(owned: Owned, named: Mapping[type, Any], components: Mapping[str, Any]) -> dict[str, Any]:
    route = owned.route
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}{_camel(route.path)}",
        "summary": route.summary,
        "tags": [owned.plugin],
        "x-permission": route.permission,
        "security": [] if route.permission == PUBLIC else [{"bearer": []}, {"key": []}],
        "responses": {**_success(route, named), **_problems(route, named)},
    }
    schema = _resolved(named[route.request], components)
    properties: Mapping[str, Any] = schema.get("properties", {})
    required = {*schema.get("required", ())}
    in_query = [] if route.takes_body else [name for name in properties if name not in route.parameters]
    parameters = [_parameter(name, "path", properties[name], required=True) for name in route.parameters]
    parameters += [_parameter(name, "query", properties[name], required=name in required) for name in in_query]
    if parameters:
        operation["parameters"] = parameters
    if route.takes_body:
        operation["requestBody"] = _body(route, schema)
    return operation


def _parameter(name: str, place: str, schema: Mapping[str, Any], *, required: bool) -> dict[str, Any]:
    inner = dict(schema)
    if place == "path":
        # An empty part is no part, and one of nothing but dots is taken out by whoever sends it.
        inner = {"minLength": 1, "maxLength": 256, **inner} if inner.get("type") == "string" else inner
    found: dict[str, Any] = {"name": name, "in": place, "required": required, "schema": inner}
    if "description" in inner:
        found["description"] = inner.pop("description")
    return found


def _body(route: Route, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands in the body: all fields but those that stand in the path; others are refused."""
    names = [name for name in fields_of(route.request) if name not in route.parameters]
    properties = {name: schema["properties"][name] for name in names}
    required = [name for name in schema.get("required", ()) if name in names]
    inner = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        inner["required"] = required
    kind = "application/x-www-form-urlencoded" if isinstance(route.response, Html) else JSON
    return {"required": bool(required), "content": {kind: {"schema": inner}}}


def _success(route: Route, named: Mapping[type, Any]) -> dict[str, Any]:
    form = route.response
    if isinstance(form, Upgrade):
        return {"101": {"description": "A WebSocket."}}
    statuses: tuple[int, ...] = (route.status,)
    content: dict[str, Any]
    if isinstance(form, Media):
        statuses = form.statuses
        schema = named[form.schema] if form.schema else None
        content = {essence(kind): {"schema": schema or _of_bytes(kind)} for kind in form.types}
    elif isinstance(form, Stream):
        content = {form.type: {"schema": {"type": "string"}}}
    elif isinstance(form, Html):
        statuses = form.statuses
        content = {"text/html": {"schema": {"type": "string"}}}
    else:
        content = {JSON: {"schema": named[form]}}
    if route.example is not None:
        for each in content.values():
            each["example"] = msgspec.to_builtins(route.example)
    return {str(status): {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def _of_bytes(kind: str) -> dict[str, Any]:
    """Return the schema of what a handler has written itself."""
    return {"type": "object" if essence(kind).endswith(("/json", "+json")) else "string"}


def _problems(route: Route, named: Mapping[type, Any]) -> dict[str, Any]:
    """Return what a request may come to instead, by status; a status of the route's own keeps its meaning."""
    found: dict[int, list[ProblemType]] = {}
    for kind in dict.fromkeys((*_of_server(route), *route.problems)):
        found.setdefault(kind.status, []).append(kind)
    content = {PROBLEM: {"schema": named[ProblemDetails]}}
    answers: dict[str, Any] = {}
    for status, kinds in sorted(found.items()):
        told = {"description": "; ".join(f"{kind.title} (`{kind.code}`)" for kind in kinds), "content": content}
        form = route.response
        if isinstance(form, Media | Html) and status in form.statuses:
            own = _success(route, named)[str(status)]
            told = {**told, "content": {**own["content"], **content}}
        if status == RATE_LIMITED.status:
            told["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
        answers[str(status)] = told
    return answers


def _of_server(route: Route) -> Iterable[ProblemType]:
    """Yield what any route of its kind can come to."""
    yield from (BAD_REQUEST, NOT_ACCEPTABLE, INVALID, RATE_LIMITED, FAILED, UNAVAILABLE, LATE, FORBIDDEN)
    yield UNAUTHENTICATED
    if route.parameters:
        yield NOT_FOUND  # What stands in its place may be nothing that a path can hold.
    if route.limited_as != "probe":
        yield MISDIRECTED
    if route.takes_body:
        yield from (TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, REQUEST_TIMEOUT)


def _resolved(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    found: Mapping[str, Any] = components[reference.rpartition("/")[2]] if reference else schema
    return found


def _camel(path: str) -> str:
    return "".join(part.strip("{}").replace(".", "_").title() for part in path.split("/")) or "Root"
