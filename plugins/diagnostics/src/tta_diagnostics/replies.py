"""From what a handler returns, and from problems, to aiohttp's responses."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web

from tta_http import HttpProblem

from .negotiation import PROBLEM

HEADERS: Mapping[str, str] = {
    "Server": "tta",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PAGE_HEADERS: Mapping[str, str] = {
    **HEADERS,
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
}
CORRELATION = "X-Correlation-Id"
_encode = msgspec.json.Encoder().encode


def response(
    body: bytes, media_type: str, *, status: int = 200, correlation_id: str = "", headers: Mapping[str, str] = HEADERS
) -> web.Response:
    """Return a response with the headers that all have."""
    made = web.Response(body=body, status=status, headers={**headers, "Content-Type": media_type})
    if correlation_id:
        made.headers[CORRELATION] = correlation_id
    return made


def problem_response(problem: HttpProblem, correlation_id: str = "") -> web.Response:
    """Return the response that tells a problem."""
    body = _encode(problem.details(correlation_id))
    made = response(body, PROBLEM, status=problem.type.status, correlation_id=correlation_id)
    made.headers.update(problem.headers)
    return made


def raw_problem(problem: HttpProblem, correlation_id: str) -> bytes:
    """Return the bytes of an answer to what is no request yet; the connection is then closed."""
    body = _encode(problem.details(correlation_id))
    lines = [
        f"HTTP/1.1 {problem.type.status} {HTTPStatus(problem.type.status).phrase}",
        f"Content-Type: {PROBLEM}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        f"{CORRELATION}: {correlation_id}",
        *(f"{name}: {value}" for name, value in HEADERS.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
