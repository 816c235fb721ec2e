"""Calling a handler: whatever a stranger's code does there, somebody is answered."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import msgspec

from tta_http import FAILED, LATE, Content, Html, HttpProblem, Media, Page
from tta_http.table import Match
from tta_kernel import as_failure, raised_at
from tta_kernel.shapes import fits
from tta_program.waiting import waits_for_servers

log = logging.getLogger("tta.diagnostics")
_encode = msgspec.json.Encoder().encode


async def called(match: Match, *arguments: Any) -> Any:
    """Return what a route's handler returns, as its route says; raises `HttpProblem`, and what is to stop all."""
    route = match.route
    try:
        if route.waits:
            answer = await _in_time(match, *arguments)
        else:
            answer = route.handler(*arguments)
    except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
        failure = as_failure(exc)
        if isinstance(failure, HttpProblem):
            raise failure from None
        raise failed(match, f"raised {type(failure).__name__} at {raised_at(failure)}") from failure
    if not _is_due(answer, route.response):
        raise failed(match, f"returned {type(answer).__name__}")
    return answer


async def _in_time(match: Match, *arguments: Any) -> Any:
    route = match.route
    # Who changes something may begin tasks by that, which then wouldn't wait, either.
    waits = waits_for_servers.set(route.changes)
    try:
        with anyio.move_on_after(route.timeout) as limit:
            answer = await route.handler(*arguments)
    finally:
        waits_for_servers.reset(waits)
    if limit.cancel_called:  # even where an answer came, too late
        log.warning("%s: took longer than %g s", named(match), route.timeout)
        raise LATE(f"plugin {match.plugin!r} took longer than {route.timeout:g} s")
    return answer


def encoded(match: Match, answer: msgspec.Struct) -> bytes:
    """Return an answer as JSON; raises `HttpProblem` where it can't be written so."""
    try:
        return _encode(answer)
    except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
        failure = as_failure(exc)
        raise failed(match, f"returned what is no JSON: {type(failure).__name__}") from failure


def failed(match: Match, what: str) -> HttpProblem:
    """Log what a handler did, and return the problem for whoever asked: it names the plugin, and quotes nothing."""
    log.error("%s: %s", named(match), what)
    return FAILED(f"plugin {match.plugin!r} failed to answer; its log says why")


def named(match: Match) -> str:
    """Name a route with its plugin."""
    return f"plugin {match.plugin!r}, route {match.route.method} {match.route.path}"


def _is_due(answer: Any, form: Any) -> bool:
    if isinstance(form, Media):
        # Probes ask often, and `fits` looks up what is known here.
        return type(answer) is Content and type(answer.body) is bytes and type(answer.status) is int
    return fits(answer, Page if isinstance(form, Html) else form)
