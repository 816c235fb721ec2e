"""From a request to its answer: who asks, for what, may they, and what comes of it."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import anyio
import msgspec
from aiohttp import HttpVersion10, HttpVersion11, web

from tta_http import (
    BAD_REQUEST,
    FAILED,
    FORBIDDEN,
    HEADERS_TOO_LARGE,
    MISDIRECTED,
    RATE_LIMITED,
    TEXT,
    UNAUTHENTICATED,
    UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
    Html,
    HttpProblem,
    Media,
    Principal,
    RouteTable,
    Stream,
    Upgrade,
    bind,
    bind_form,
)
from tta_http.table import Match
from tta_kernel import correlation_id, raised_at
from tta_kernel.isolation import is_interrupt

from .body import body_of, query_of
from .config import Config
from .connection import Connection, connection_of
from .doorkeeper import Doorkeeper
from .guard import called, encoded
from .hosts import Hosts
from .limiter import Limiter
from .negotiation import JSON, choose, demand_json, essence
from .ongoing import BrokenOff, converse, stream
from .records import Recorder
from .replies import PAGE_HEADERS, problem_response, response

log = logging.getLogger("tta.diagnostics")
UNRECORDED = "who reads people's text is recorded, and that isn't possible now"
MOST_TARGET = 8_000
"""Characters of a path with its query."""
LONGEST_DETAIL = 5_000
"""Characters of what is said of a problem."""


class Application:
    """Answers requests, whichever listener they come through.

    ``running`` says whether a plugin runs, so that its routes can be answered. ``redact`` takes secrets out of what a
    plugin says is wrong: a store's error may name where it wanted to log in. ``interrupted`` is told of a
    `KeyboardInterrupt` that a handler lets out: it must not leave the event loop past all that is still to be closed.
    """

    def __init__(
        self,
        table: RouteTable,
        config: Config,
        *,
        hosts: Hosts,
        doorkeeper: Doorkeeper,
        recorder: Recorder,
        running: Callable[[str], bool],
        redact: Callable[[str], str],
        interrupted: Callable[[BaseException], None],
    ) -> None:
        self.table = table
        self.config = config
        self.limiter = Limiter(config)
        self.draining = False
        self.hosts = hosts
        self.doorkeeper = doorkeeper
        self.recorder = recorder
        self.running = running
        self.redact = redact
        self.interrupted = interrupted
        self._prefix = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    def new_number(self) -> str:
        """Return the correlation id of one more request."""
        return f"{self._prefix}-{next(self._numbers):x}"

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; it never raises but for a cancellation."""
        connection = connection_of(request)
        number = self.new_number()
        correlation_id.set(number)
        started = self.recorder.clock()
        exchange = Exchange(self, request, connection, number)
        status = 0
        try:
            answer = await exchange.answer()
        except HttpProblem as problem:
            problem.detail = self.redact(problem.detail)[:LONGEST_DETAIL]
            answer = problem_response(problem, number)
        except BrokenOff as broken:
            answer = broken.answer
            status = FAILED.status
        except BaseException as exc:
            if is_interrupt(exc):
                self.interrupted(exc)
            elif isinstance(exc, Exception):
                # Ours, since strangers are isolated; what it says may be the caller's text.
                log.error("request %s: %s at %s", number, type(exc).__name__, raised_at(exc))  # noqa: TRY400
            else:
                raise
            answer = problem_response(FAILED(), number)
        if self.draining or not request.content.is_eof():
            # Draining, it is closed soon; and of a body that nobody reads the rest would look like a request.
            answer.force_close()
        else:
            connection.end()
        self.recorder.count(exchange, status or answer.status, self.recorder.clock() - started)
        return answer


class Exchange:
    """One request, and what is known of it by now."""

    def __init__(self, application: Application, request: web.BaseRequest, connection: Connection, number: str) -> None:
        self._application = application
        self._request = request
        self._connection = connection
        self.number = number
        self._authority: str | None = None
        """The host that the target names, where it is a whole URL."""
        self.match: Match | None = None
        self.principal: Principal | None = None

    @property
    def address(self) -> str:
        """Where it comes from, without a port; empty on a Unix socket."""
        return self._connection.address

    async def answer(self) -> web.StreamResponse:
        """Return the response; raises `HttpProblem`."""
        application = self._application
        request = self._request
        # One that came in one piece has passed `Connection`, which counts while it waits.
        lines = request.raw_headers
        if sum(map(len, itertools.chain.from_iterable(lines))) + 4 * len(lines) > application.config.longest_header:
            raise HEADERS_TOO_LARGE(f"it has up to {application.config.longest_header} bytes")
        if request.version not in (HttpVersion10, HttpVersion11):
            raise BAD_REQUEST("speak HTTP/1.1")
        path, query = self._target()
        if request.method == "OPTIONS":
            return self._options(path)
        match = self.match = application.table.match(request.method, path)
        if match.route.limited_as != "probe":
            self._check_host()
        principal = self.principal = await application.doorkeeper.admit(request.headers, self._connection)
        self._limit(principal, match)
        try:
            self._authorize(principal, match.route.permission)
        except HttpProblem as problem:
            if match.route.changes and principal.kind != "anonymous":
                await application.recorder.record(self, problem.type.code, problem.type.status, revealed=False)
            raise
        if not application.running(match.plugin):
            raise UNAVAILABLE(f"plugin {match.plugin!r} doesn't run", headers={"Retry-After": "1"})
        return await self._perform(match, principal, query)

    def _target(self) -> tuple[str, str]:
        target = self._request.raw_path
        if len(target) > MOST_TARGET or "#" in target:
            raise BAD_REQUEST("the target is too long, or has a fragment")
        if target.startswith(("http://", "https://")):  # as proxies are asked, and every server must understand
            try:
                parts = urlsplit(target)
            except ValueError:
                raise BAD_REQUEST("the target is no URL") from None
            self._authority = parts.netloc
            return parts.path or "/", parts.query
        path, _, query = target.partition("?")
        return path, query

    def _options(self, path: str) -> web.Response:
        """Say which methods there are; with no word of CORS, so that no foreign page may use any."""
        if path == "*":
            methods: Sequence[str] = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
        else:
            methods = self._application.table.allowed(path)
        self._check_host()
        answer = response(b"", JSON, status=204, correlation_id=self.number)
        answer.headers["Allow"] = ", ".join(methods)
        return answer

    def _check_host(self) -> None:
        request = self._request
        given = request.headers.getall("Host", ())
        if len(given) != 1 and (given or request.version >= (1, 1)):
            raise BAD_REQUEST("a request has one Host")
        host = given[0] if given else ""
        hosts = self._application.hosts
        by_file = not isinstance(request.get_extra_info("sockname"), tuple)  # a Unix socket, which no page can reach
        # A target's own host counts for more than the header, which a proxy may have written.
        named = [name for name in (self._authority, host if given else None) if name is not None]
        if not by_file and not all(map(hosts.accepts, named)):
            raise MISDIRECTED("plugins.diagnostics.config.hosts lists the names under which it may be asked")
        origin = request.headers.get("Origin")
        if origin is not None and not hosts.accepts_origin(origin, host, request.scheme):
            raise FORBIDDEN("pages of another origin may not ask here")

    def _limit(self, principal: Principal, match: Match) -> None:
        anonymous = principal.kind == "anonymous"
        caller = f"from {self._connection.network}" if anonymous else principal.name
        wait = self._application.limiter.wait(caller, match.route.limited_as)
        if wait:
            raise RATE_LIMITED(headers={"Retry-After": str(int(wait) + 1)})

    def _authorize(self, principal: Principal, permission: str) -> None:
        if self._application.doorkeeper.allowed(principal, permission):
            return
        if principal.kind == "anonymous":
            raise UNAUTHENTICATED(f"needs {permission}", headers={"WWW-Authenticate": "Bearer"})
        raise FORBIDDEN(f"needs {permission}")

    async def _perform(self, match: Match, principal: Principal, query: str) -> web.StreamResponse:
        route = match.route
        form = route.response
        request = self._request
        kind = JSON
        if isinstance(form, Media):
            kind = choose(request.headers.get("Accept"), form.types)
        elif isinstance(form, Stream):
            kind = choose(request.headers.get("Accept"), (form.type,))
        elif isinstance(form, Html):
            kind = choose(request.headers.get("Accept"), ("text/html; charset=utf-8",))
        elif not isinstance(form, Upgrade):
            choose(request.headers.get("Accept"), (JSON,))
        asked = await self._bound(match, query)
        revealed = bool(route.reveals) and bool(getattr(asked, route.reveals))
        if revealed:
            self._authorize(principal, TEXT)
        audited = route.changes or revealed
        recorder = self._application.recorder
        if not audited:
            return await self._in_time(match, asked, principal, kind)
        if isinstance(form, Stream | Upgrade):
            # What flows can't be held back once it does.
            if not await recorder.record(self, "", 200, revealed=revealed) and revealed:
                raise UNAVAILABLE(UNRECORDED)
            return await self._in_time(match, asked, principal, kind)
        try:
            answer = await self._in_time(match, asked, principal, kind)
        except HttpProblem as problem:
            await recorder.record(self, problem.type.code, problem.type.status, revealed=revealed)
            raise
        # Text that nobody could say was shown is not shown.
        if not await recorder.record(self, "", answer.status, revealed=revealed) and revealed:
            raise UNAVAILABLE(UNRECORDED)
        return answer

    async def _in_time(
        self, match: Match, asked: msgspec.Struct, principal: Principal, kind: str
    ) -> web.StreamResponse:
        """Return the response, a problem where the server can't wait for it any more."""
        try:
            return await self._answered(match, asked, principal, kind)
        except anyio.get_cancelled_exc_class():
            if not self._connection.was_given_up():
                raise
            raise UNAVAILABLE("it is stopping", headers={"Retry-After": "1"}) from None

    async def _bound(self, match: Match, query: str) -> msgspec.Struct:
        """Return the request that the handler takes."""
        request = self._request
        route = match.route
        pairs = query_of(query)
        if route.takes_body and not isinstance(route.response, Html):
            if request.body_exists:
                demand_json(request.headers.get("Content-Type"))
            body = await body_of(request, self._application.config)
            return bind(route, match.parameters, pairs, body)
        if not route.takes_body:
            if request.body_exists and (request.content_length != 0):
                raise BAD_REQUEST("this route takes no body")
            return bind(route, match.parameters, pairs)
        is_form = essence(request.headers.get("Content-Type", "")) == "application/x-www-form-urlencoded"
        if request.body_exists and not is_form:
            raise UNSUPPORTED_MEDIA_TYPE("send the form of the page")
        if request.headers.get("Origin") is None and "Cookie" in request.headers:
            # A browser always says where a form comes from; without that nobody knows whose page it is.
            raise FORBIDDEN("a form comes with its origin")
        body = await body_of(request, self._application.config)
        try:
            return bind_form(route, match.parameters, query_of(body.decode("ascii")))
        except UnicodeDecodeError:
            raise BAD_REQUEST("the form can't be read") from None

    async def _answered(
        self, match: Match, asked: msgspec.Struct, principal: Principal, kind: str
    ) -> web.StreamResponse:
        form = match.route.response
        if isinstance(form, Stream):
            return await stream(self._request, match, (asked, principal), kind, self._application.config)
        if isinstance(form, Upgrade):
            return await converse(self._request, match, (asked, principal), form)
        if isinstance(form, Media):
            content = await called(match, asked, principal, kind)
            return response(content.body, kind, status=content.status, correlation_id=self.number)
        answer = await called(match, asked, principal)
        if isinstance(form, Html):
            made = response(
                answer.html.encode("utf-8", "replace"),
                kind,
                status=303 if answer.location else answer.status,
                correlation_id=self.number,
                headers=PAGE_HEADERS,
            )
            if answer.location:
                made.headers["Location"] = _own(answer.location)
            return made
        return response(encoded(match, answer), kind, status=match.route.status, correlation_id=self.number)


def _own(location: str) -> str:
    """Return a path of this server; anything else would lead people elsewhere."""
    plain = location.isascii() and location.isprintable() and " " not in location
    return location if plain and location.startswith("/") and location[1:2] not in ("/", "\\") else "/"
