"""A route: what is asked for, who may, what goes in and what comes out; it knows no web framework."""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Literal

import msgspec

from .principals import Permission
from .problems import ProblemType

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
BODILESS: Sequence[Method] = ("GET", "DELETE")
"""Their request is filled from path and query alone; that of the others from path and body."""
Limit = Literal["probe", "read", "write", "costly"]
_TEXT = "text/plain; charset=utf-8"


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The request of a route that takes none."""


class Media(msgspec.Struct, frozen=True):
    """An answer that isn't JSON, or has a status of its own: the handler returns `Content`.

    Its third argument says which of ``types`` was asked for, the first being the default. With a ``schema`` it is JSON
    of that form all the same, such as ``application/health+json``.
    """

    types: tuple[str, ...] = (_TEXT,)
    statuses: tuple[int, ...] = (200,)
    schema: type[msgspec.Struct] | None = None


class Content(msgspec.Struct, frozen=True):
    """What a handler of `Media` returns."""

    body: bytes
    status: int = 200


class Html(msgspec.Struct, frozen=True):
    """A page for people: the handler returns `Page`. A POST takes a form, and is filled from that."""

    statuses: tuple[int, ...] = (200,)


class Page(msgspec.Struct, frozen=True):
    """What a handler of `Html` returns; with a ``location``, a path of this server, the browser goes on to that."""

    html: str
    status: int = 200
    location: str = ""


class Stream(msgspec.Struct, frozen=True):
    """An answer that goes on: the handler returns an async iterator of bytes, and is closed with the connection."""

    type: str = "text/event-stream"


class Upgrade(msgspec.Struct, frozen=True):
    """A WebSocket: the handler's third argument is the `Socket`; it is closed when the handler returns."""

    protocols: tuple[str, ...] = ()
    longest: int = 65_536
    """Bytes that a message may have."""


class Socket(ABC):
    """A WebSocket, as a handler sees it; a surface makes it."""

    protocol: str
    """Which of the route's protocols was agreed on, or ""."""

    @abstractmethod
    async def receive(self) -> str | bytes | None:
        """Return the next message; None when there will be no more."""

    @abstractmethod
    async def send(self, message: str | bytes) -> None:
        """Send a message; waits while the other side doesn't read."""

    @abstractmethod
    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye."""


Response = type[msgspec.Struct] | Media | Html | Stream | Upgrade
Handler = Callable[..., Any]
"""``async def handler(request: In, principal: Principal) -> Out``, with a third argument where `Response` says so.

One that awaits nothing may be a plain ``def``: it answers at once, so that no time limit has to be watched meanwhile.
"""


class Route(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Something that may be asked for over HTTP; what is wrong with one is told by ``tta check``.

    ``request`` is a Struct with a field for each parameter of the path (``/runs/{id}``); the other fields come from the
    query (GET, DELETE; HEAD is a GET) or from the JSON body, and what is none of them is refused. ``response`` is a
    Struct, sent as JSON with ``status``, or a form of its own. ``problems`` are those that the handler raises, besides
    those of a server. ``reveals`` names a field of the request, a bool, that asks for people's text: then
    `TEXT` is needed as well, and each use is audited. ``mutates`` is None for what its method says.
    """

    method: Method
    path: str
    permission: Permission
    handler: Handler
    response: Response
    summary: str
    request: type[msgspec.Struct] = Nothing
    status: int = 200
    problems: tuple[ProblemType, ...] = ()
    limit: Limit | None = None
    timeout: float = 10.0
    """Seconds that the handler may take; for a stream or a socket, until it begins."""
    reveals: str = ""
    mutates: bool | None = None
    example: msgspec.Struct | None = None
    """A response, for the documentation."""

    # What follows from these is found out once: each request asks for it.

    @cached_property
    def parameters(self) -> Sequence[str]:
        """Names of the parameters in the path."""
        return re.findall(r"\{(\w+)\}", self.path)

    @cached_property
    def shape(self) -> str:
        """The path without the names of its parameters: two routes of one method can't share it."""
        return re.sub(r"\{\w+\}", "{}", self.path)

    @cached_property
    def changes(self) -> bool:
        """Whether it changes something, and so is audited."""
        return self.method != "GET" if self.mutates is None else self.mutates

    @cached_property
    def limited_as(self) -> Limit:
        """Which limit on the rate of requests counts."""
        return self.limit or ("write" if self.changes else "read")

    @cached_property
    def takes_body(self) -> bool:
        """Whether what isn't in the path comes in a body."""
        return self.method not in BODILESS

    @cached_property
    def waits(self) -> bool:
        """Whether its handler is an async function."""
        return inspect.iscoroutinefunction(inspect.unwrap(self.handler))
