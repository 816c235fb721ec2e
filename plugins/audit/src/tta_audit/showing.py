"""The routes: what was recorded, as an operator asks for it over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from tta_access import asked
from tta_http import UNAVAILABLE, Nothing, Paged, Part, Permission, Principal, Route, cursor_after

from .model import Audit, AuditError, Record, Verdict, position

INSPECT: Permission = "audit:inspect"
"""Not ``audit:read``, which whoever may read everything would have, too."""
_LIMIT = 10.0


class AuditRequest(Paged, frozen=True, kw_only=True):
    """Which records: those of a principal, or of a deed such as ``runs.cancel`` or ``command.*``."""

    who: str = ""
    what: str = ""


class AuditPage(Part[Record], frozen=True):
    """Records, the newest first."""


class AuditChains(msgspec.Struct, frozen=True):
    """What became of each chain of records."""

    chains: Sequence[Verdict]


class Showing:
    """The handlers; ``audit`` returns the service, which is there once the plugin runs."""

    def __init__(self, audit: Callable[[], Audit]) -> None:
        self._audit = audit

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        return (
            Route(
                method="GET", path="/audit", permission=INSPECT, handler=self.page, summary="List who did what",
                request=AuditRequest, response=AuditPage, problems=(UNAVAILABLE,), example=AuditPage([_EXAMPLE]),
            ),
            Route(
                method="GET", path="/audit/chains", permission=INSPECT, handler=self.chains,
                summary="Say whether a record was changed, put in or taken out", response=AuditChains, limit="costly",
                problems=(UNAVAILABLE,), example=AuditChains([_VERDICT]),
            ),
        )  # fmt: skip

    async def page(self, request: AuditRequest, principal: Principal) -> AuditPage:
        """Answer with a part of the records."""
        try:
            found = await asked(
                AuditError, _LIMIT, list[Record], self._audit().read,
                limit=request.limit, before=request.after, who=request.who, what=request.what,
            )  # fmt: skip
        except AuditError as exc:
            raise UNAVAILABLE(f"the store of records can't be used: {exc}") from None
        more = cursor_after(position(found[-1])) if len(found) == request.limit else None
        return AuditPage(found, more)

    async def chains(self, request: Nothing, principal: Principal) -> AuditChains:
        """Answer with the state of each chain."""
        try:
            return AuditChains(await asked(AuditError, _LIMIT, list[Verdict], self._audit().verify))
        except AuditError as exc:
            raise UNAVAILABLE(f"the store of records can't be used: {exc}") from None


_EXAMPLE = Record(
    v=1, chain="20260301T120000-host-7-a1b2c3", number=2, at=1772366400.25, what="command.runs.cancel", who="local:ops",
    kind="local", outcome="done", target="run-7", previous="0" * 64, digest="f" * 64,
)  # fmt: skip
_VERDICT = Verdict(chain=_EXAMPLE.chain, status="whole", first=1, last=2, head="f" * 64)
