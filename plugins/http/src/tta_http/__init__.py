"""HTTP: routes, permissions, principals and problems, in a vocabulary that knows no web framework."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Annotated, ClassVar

import msgspec

from tta_kernel import Context, Hooks, Plugin, Problem, Service, hookimpl

from . import hookspecs
from .binding import bind, bind_form
from .check import declared, problems
from .hookspecs import routes
from .lists import Count, Cursor, Paged, Part, cursor_after, part_of
from .principals import ANONYMOUS, PUBLIC, TEXT, Permission, Principal
from .problems import (
    BAD_REQUEST,
    CONFLICT,
    FAILED,
    FORBIDDEN,
    HEADERS_TOO_LARGE,
    INVALID,
    LATE,
    METHOD_NOT_ALLOWED,
    MISDIRECTED,
    NOT_ACCEPTABLE,
    NOT_FOUND,
    PROBLEMS,
    RATE_LIMITED,
    REQUEST_TIMEOUT,
    TOO_LARGE,
    UNAUTHENTICATED,
    UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
    FieldProblem,
    HttpProblem,
    ProblemDetails,
    ProblemType,
)
from .routes import (
    Content,
    Handler,
    Html,
    Limit,
    Media,
    Method,
    Nothing,
    Page,
    Response,
    Route,
    Socket,
    Stream,
    Upgrade,
)
from .table import Match, Owned, RouteTable

__all__ = [
    "ANONYMOUS", "BAD_REQUEST", "CONFLICT", "FAILED", "FORBIDDEN", "HEADERS_TOO_LARGE", "HTTP", "INVALID", "LATE",
    "METHOD_NOT_ALLOWED", "MISDIRECTED", "NOT_ACCEPTABLE", "NOT_FOUND", "PROBLEMS", "PUBLIC", "RATE_LIMITED",
    "REQUEST_TIMEOUT", "TEXT", "TOO_LARGE", "UNAUTHENTICATED", "UNAVAILABLE", "UNSUPPORTED_MEDIA_TYPE", "Config",
    "Content", "Count", "Cursor", "FieldProblem", "Handler", "Html", "HttpPlugin", "HttpProblem", "Limit", "Match",
    "Media", "Method", "Nothing", "Owned", "Page", "Paged", "Part", "Permission", "Principal", "ProblemDetails",
    "ProblemType", "Response", "Route", "RouteTable", "Socket", "Stream", "Upgrade", "bind", "bind_form",
    "cursor_after", "declared", "part_of", "routes",
]  # fmt: skip


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``public_url`` is where people reach the deployment from outside, such as through a proxy."""

    public_url: Annotated[str, msgspec.Meta(pattern=r"^(https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?)?$")] = ""


HTTP = Service[Config]("http")
"""What all surfaces that serve HTTP share."""


class HttpPlugin(Plugin[Config]):
    """Brings the hook ``routes``, and objects to what can't be served; it serves nothing itself."""

    provides = (HTTP,)
    hookspecs: ClassVar[ModuleType | None] = hookspecs

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.provide(HTTP, self.config)
        yield

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        return [*problems(hooks)]
