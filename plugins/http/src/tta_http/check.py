"""What is wrong with the routes that plugins declare, before anything starts."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

import msgspec

from tta_kernel import LONGEST, ConfigError, Hooks, PluginError, Problem
from tta_kernel.units import is_struct, unwrap

from . import hookspecs
from .binding import fields_of, is_list
from .principals import PUBLIC, is_permission
from .routes import Media, Route, Stream, Upgrade
from .table import Owned, RouteTable

_SEGMENT = r"[A-Za-z0-9._~-]+|\{[a-z][a-z0-9_]*\}"


def declared(hooks: Hooks) -> RouteTable:
    """Return all routes that can be served; what is wrong with the others, `problems` says."""
    found: dict[tuple[str, str], Owned] = {}
    for plugin, answer in sorted(hooks.collect(hookspecs.routes).items()):
        for route in () if isinstance(answer, Exception) else answer:
            if not _all_flaws(route):
                found.setdefault((route.method, route.shape), Owned(plugin, route))
    return RouteTable(found.values())


def problems(hooks: Hooks) -> Iterator[Problem]:
    """Find all that is wrong with what plugins declare."""
    owners: dict[tuple[str, str], str] = {}
    for plugin, answer in sorted(hooks.collect(hookspecs.routes).items()):
        where = f"plugin {plugin!r}"
        if isinstance(answer, ConfigError) and answer.problems:
            yield from (msgspec.structs.replace(problem, plugin=plugin) for problem in answer.problems)
        elif isinstance(answer, Exception):
            if not isinstance(answer, PluginError):  # One that can't be used is the kernel's to tell.
                yield Problem(where, f"its hook routes failed with {type(answer).__name__}", plugin=plugin)
        else:
            for route in answer:
                name = f"{route.method} {route.path}"
                first = owners.get((route.method, route.shape))
                owners.setdefault((route.method, route.shape), plugin)
                if first == plugin:
                    yield Problem(where, f"declares {name} twice", plugin=plugin)
                elif first:
                    what = f"declares {name}, and so does {first!r}"
                    yield Problem(where, what, "disable one of them", plugin=plugin)
                for flaw in _all_flaws(route):
                    yield Problem(where, f"{name}: {flaw}", plugin=plugin)


def _all_flaws(route: Route) -> list[str]:
    try:
        return [*_flaws(route)]
    except Exception as exc:  # noqa: BLE001 - the annotations of a stranger's Struct can be whatever they are
        return [f"its request {route.request.__name__} can't be read: {type(exc).__name__}"]


def _flaws(route: Route) -> Iterator[str]:
    if not is_permission(route.permission):
        yield f"a permission reads 'runs:read' or 'tools:execute:math.add', or is {PUBLIC!r}"
    if route.path != "/" and not re.fullmatch(rf"(/({_SEGMENT}))+", route.path):
        yield "its path doesn't read like '/runs/{id}'"
    if not route.summary.strip():
        yield "it has no summary"
    if not 0 < route.timeout <= LONGEST:
        yield "its timeout is no number of seconds, more than 0"
    if not 200 <= route.status <= 299:
        yield "its status is no success; a handler raises a problem instead"
    for kind in route.problems:
        if not re.fullmatch(r"[a-z][a-z0-9-]*", kind.code) or not 400 <= kind.status <= 599:
            yield "a problem has a code such as 'not-found', and a status from 400 to 599"
    known = fields_of(route.request)
    names = route.parameters
    if len({*names}) != len(names):
        yield "two parameters of its path have one name"
    for name in names:
        if name not in known:
            yield f"its request {route.request.__name__} has no field {name!r}, which stands in the path"
        elif not _is_scalar(known[name].type):
            yield f"{name!r} stands in the path, and is no text, number, truth or choice"
    if not route.takes_body:
        for name, field in known.items():
            if not _is_scalar(field.type) and not is_list(field):
                yield f"{name!r} comes from the query, and is no text, number, truth, choice, or list of them"
    if route.reveals and (route.reveals not in known or unwrap(known[route.reveals].type)[0] is not bool):
        yield f"its request has no bool {route.reveals!r}, which is to ask for people's text"
    if isinstance(route.response, Stream | Upgrade) and route.method != "GET":
        yield "a stream or a socket is asked for by GET"
    yield from _of_handler(route)


def _of_handler(route: Route) -> Iterator[str]:
    wanted = 3 if isinstance(route.response, Media | Upgrade) else 2
    try:
        inspect.signature(route.handler).bind(*range(wanted))
    except (TypeError, ValueError):
        yield f"its handler doesn't take the {wanted} arguments that it is called with"
    if isinstance(route.response, Stream):
        return
    if isinstance(route.response, Upgrade) and not route.waits:
        yield "its handler is no async function, as that of a socket is"
    handler = inspect.unwrap(route.handler)
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        yield "its handler is a generator, as that of a stream alone may be"


def _is_scalar(type_: Any) -> bool:
    bare, _ = unwrap(type_)
    if get_origin(bare) is Literal:
        return all(isinstance(each, str | int) for each in get_args(bare))
    return isinstance(bare, type) and not is_struct(bare) and not issubclass(bare, Mapping) and bare not in (
        list, tuple, set, frozenset, dict, object,
    )  # fmt: skip
