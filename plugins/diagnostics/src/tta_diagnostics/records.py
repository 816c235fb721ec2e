"""What is remembered of requests: figures of all, and an entry in the audit for each that changes something."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from tta_access import asked
from tta_audit import Audit, AuditError, Entry, Outcome
from tta_http import ANONYMOUS, Principal
from tta_http.table import Match
from tta_metrics import Counter, Histogram, Metrics

LIMIT = 5.0
"""Seconds in which an entry must be written."""
REFUSALS = frozenset({401, 403, 404, 409, 413, 415, 421, 422, 429})
"""Statuses of what was refused before anything happened."""
log = logging.getLogger("tta.diagnostics")


class Request(Protocol):
    """What is known of a request by the time that it is answered."""

    @property
    def number(self) -> str: ...
    @property
    def match(self) -> Match | None: ...
    @property
    def principal(self) -> Principal | None: ...
    @property
    def address(self) -> str: ...


class Recorder:
    """Counts requests, and writes down who changed what; without the one or the other service that is left out."""

    def __init__(
        self,
        metrics: Metrics | None = None,
        audit: Audit | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
        limit: float = LIMIT,
    ) -> None:
        self.clock = clock
        self._metrics = metrics
        self._audit = audit
        self._limit = limit
        self._series: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def count(self, request: Request, status: int, seconds: float) -> None:
        """Count an answer; of what has no route the path is not told, which is the caller's text."""
        if self._metrics is None:
            return
        route = request.match.route.path if request.match is not None else ""
        series = self._series.get((route, status))
        if series is None:
            series = self._series[route, status] = self._found(self._metrics, route, status)
        answered, took = series
        answered.inc()
        took.observe(seconds)

    @staticmethod
    def _found(metrics: Metrics, route: str, status: int) -> tuple[Counter, Histogram]:
        answered = metrics.counter("tta_http_answers_total", "answers to requests", labels=("route", "status"))
        took = metrics.histogram("tta_http_request_seconds", "how long answers took", labels=("route",))
        return answered.labels(route, str(status)), took.labels(route)

    def watch(self, connections: Callable[[], float]) -> None:
        """Show how many connections there are."""
        if self._metrics is not None:
            self._metrics.gauge("tta_http_connections", "connections that are open", read=connections)

    async def record(self, request: Request, code: str, status: int, *, revealed: bool) -> bool:
        """Write down who did what, and what came of it; False where that isn't possible."""
        if self._audit is None:
            return False
        match = request.match
        principal = request.principal or ANONYMOUS
        assert match is not None
        outcome: Outcome = "done" if status < 400 else "refused" if status in REFUSALS else "failed"
        # What nobody has found is the caller's text, whatever it looks like.
        target = "/".join(match.parameters.values()) if status < 400 else ""
        what = match.route.permission.replace(":", ".") if match.route.changes else "text.read"
        entry = Entry(
            what=f"{what}.text" if revealed and match.route.changes else what,
            who=principal.name,
            kind=principal.kind,
            outcome=outcome,
            target=target,
            code=code if status >= 400 else "",
            address=request.address,
            correlation_id=request.number,
        )
        try:
            await asked(AuditError, self._limit, type(None), self._audit.record, entry)
        except AuditError as exc:
            log.error("what was done is not in the audit: %s", exc)  # noqa: TRY400 - it says where it was raised
            return False
        return True
