"""The routes that say which routes there are."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tta_http import Content, Html, Media, Nothing, Page, Principal, Route, RouteTable

from .openapi import document
from .page import page

READ = "docs:read"


def documentation_routes(table: Callable[[], RouteTable], version: str) -> list[Route]:
    """Return the routes of the OpenAPI document, and of the page made from it."""

    async def openapi(request: Nothing, principal: Principal, kind: str) -> Content:
        return Content(msgspec.json.encode(document(table(), version=version)))

    async def docs(request: Nothing, principal: Principal) -> Page:
        return Page(page(document(table(), version=version)))

    return [
        Route(
            method="GET", path="/openapi.json", permission=READ, handler=openapi, limit="costly",
            response=Media(("application/vnd.oai.openapi+json;version=3.1", "application/json")),
            summary="List all routes, for programs.",
        ),
        Route(
            method="GET", path="/docs", permission=READ, handler=docs, response=Html(), limit="costly",
            summary="List all routes, for people.",
        ),
    ]  # fmt: skip
