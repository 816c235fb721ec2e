"""For plugins with routes: ask for them without a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from tta_http import FORBIDDEN, Principal, bind, declared
from tta_http.routes import Html, Media
from tta_kernel import Hooks

__all__ = ["EVERYTHING", "Caller"]

EVERYTHING = Principal("tester", "local", permissions=frozenset({"*:*"}))
"""May do all that a wildcard grants, so all but read people's text."""


class Caller:
    """Asks for the routes of a kernel as a server does, but for the bytes: ``await Caller(kernel.hooks).get("/runs")``.

    A JSON answer comes back as builtins, and each other one as its handler has returned it. `HttpProblem` is raised.
    """

    def __init__(self, hooks: Hooks, principal: Principal = EVERYTHING) -> None:
        self._hooks = hooks
        self._principal = principal

    async def get(self, target: str) -> Any:
        """GET a path with its query."""
        return await self.ask("GET", target)

    async def post(self, target: str, body: Mapping[str, Any] | None = None) -> Any:
        """POST a JSON body."""
        return await self.ask("POST", target, body)

    async def ask(self, method: str, target: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask for a route by any method."""
        path, _, query = target.partition("?")
        _, route, parameters = declared(self._hooks).match(method, path)
        if not self._principal.may(route.permission):
            raise FORBIDDEN(f"needs {route.permission}")
        sent = None if body is None else msgspec.json.encode(body)
        request = bind(route, parameters, parse_qsl(query, keep_blank_values=True), sent)
        if route.reveals and getattr(request, route.reveals) and not self._principal.may("text:read"):
            raise FORBIDDEN("needs text:read")
        third = (route.response.types[0],) if isinstance(route.response, Media) else ()
        answer = route.handler(request, self._principal, *third)
        if route.waits:
            answer = await answer
        if isinstance(route.response, Media | Html):
            return answer
        assert isinstance(route.response, type)
        assert isinstance(answer, route.response), f"{route.path} answered with {type(answer).__name__}"
        return msgspec.json.decode(msgspec.json.encode(answer))
