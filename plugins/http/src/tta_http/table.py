"""Which route a request is for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from .problems import METHOD_NOT_ALLOWED, NOT_FOUND
from .routes import Method, Route

LONGEST_PARAMETER = 256
"""Characters in one part of a path: a name or an identifier, never a text."""


class Owned(NamedTuple):
    """A route, and the plugin that declares it."""

    plugin: str
    route: Route


class Match(NamedTuple):
    """The route that a request is for, and what stands in its path."""

    plugin: str
    route: Route
    parameters: Mapping[str, str]


class _Node:
    def __init__(self) -> None:
        self.inner: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.routes: dict[str, Owned] = {}


class RouteTable:
    """The routes of a deployment; where one has the very word that another has a parameter for, that one is meant."""

    def __init__(self, owned: Iterable[Owned]) -> None:
        self.owned = tuple(owned)
        self._root = _Node()
        self._fixed: dict[tuple[str, str], Match] = {}
        for each in self.owned:
            route = each.route
            node = self._root
            for part in _parts(route.path):
                if part.startswith("{"):
                    node.parameter = node.parameter or _Node()
                    node = node.parameter
                else:
                    node = node.inner.setdefault(part, _Node())
            node.routes[route.method] = each
            if not route.parameters:
                # Those of which there is but one need no walk: probes and scrapes ask for nothing else.
                self._fixed[route.method, route.path] = Match(each.plugin, route, {})

    def match(self, method: str, path: str) -> Match:
        """Return the route for a path as it came, still quoted; HEAD is a GET. Raises `HttpProblem` (404, 405)."""
        method = "GET" if method == "HEAD" else method
        if found := self._fixed.get((method, path)):
            return found
        node, values = self._find(path)
        owned = node.routes.get(method)
        if owned is None:
            raise METHOD_NOT_ALLOWED(headers={"Allow": ", ".join(_allowed(node))})
        return Match(owned.plugin, owned.route, dict(zip(owned.route.parameters, values, strict=True)))

    def allowed(self, path: str) -> Sequence[str]:
        """Return the methods that a path has; raises `HttpProblem` (404)."""
        return _allowed(self._find(path)[0])

    def _find(self, path: str) -> tuple[_Node, Sequence[str]]:
        parts = _parts(path) if path.startswith("/") else None
        found = None if parts is None else _walk(self._root, [_plain(part) for part in parts], ())
        if found is None:
            raise NOT_FOUND("this server has nothing there; /openapi.json lists what it has")
        return found


def _walk(node: _Node, parts: Sequence[str], values: tuple[str, ...]) -> tuple[_Node, Sequence[str]] | None:
    if not parts:
        return (node, values) if node.routes else None
    part, *rest = parts
    if part in node.inner and (found := _walk(node.inner[part], rest, values)):
        return found
    if node.parameter and part and len(part) <= LONGEST_PARAMETER:
        return _walk(node.parameter, rest, (*values, part))
    return None


def _allowed(node: _Node) -> Sequence[Method | str]:
    methods = {*node.routes, "OPTIONS"}
    if "GET" in methods:
        methods.add("HEAD")
    return sorted(methods)


def _parts(path: str) -> list[str]:
    return [] if path == "/" else path[1:].split("/")


def _plain(part: str) -> str:
    """Return a part without its quoting; nothing, which no parameter can be, where it isn't text."""
    try:
        plain = unquote(part, errors="strict")
    except UnicodeDecodeError:
        return ""
    return plain if plain.isprintable() else ""
