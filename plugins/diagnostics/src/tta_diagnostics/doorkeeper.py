"""Who comes in: what a request shows is turned into a principal."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

import anyio
from aiohttp import hdrs

from tta_access import Access, Credentials, Denied, asked
from tta_http import ANONYMOUS, RATE_LIMITED, UNAUTHENTICATED, UNAVAILABLE, HttpProblem, Permission, Principal
from tta_kernel import as_failure, raised_at
from tta_kernel.shapes import fits
from tta_program.waiting import waits_for_servers

from .connection import Connection

LIMIT = 6.0
"""Seconds in which it must be known who asks: more than `ACCESS` gives a store of keys, so that it can say why."""
ANONYMOUS_FOR = 1.0
"""Seconds for which the principal of those who show nothing is kept: most requests show nothing, or ask for no more."""
MOST_KNOWN = 256
log = logging.getLogger("tta.diagnostics")


class Unknown(Exception):
    """Nobody can tell who asks."""


class Doorkeeper:
    """Asks `ACCESS`; without it everybody is anonymous. Whatever that does, in doubt nobody comes in."""

    def __init__(
        self, access: Access | None, *, limit: float = LIMIT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._access = access
        self._limit = limit
        self._clock = clock
        self._anonymous = ANONYMOUS
        self._until = 0.0
        self._judged: dict[int, Principal] = {}
        """Principals that were looked at; each is handed out again and again."""

    async def admit(self, headers: Mapping[str, str], connection: Connection) -> Principal:
        """Return who asks; raises `HttpProblem` where what is shown proves nothing."""
        access = self._access
        if access is None:
            return ANONYMOUS
        authorization = headers.get(hdrs.AUTHORIZATION, "")
        diag_key = headers.get("X-AO-DIAG-KEY", "")
        if not (authorization or diag_key or connection.certificate):
            return await self._nobody(access)
        credentials = Credentials(
            authorization=authorization,
            diag_key=diag_key,
            certificate=connection.certificate,
            peer=connection.address,
        )
        return self._recalled(access, credentials) or await self._known(access, credentials)

    async def _nobody(self, access: Access) -> Principal:
        if self._clock() >= self._until:
            self._anonymous = await self._known(access, Credentials())
            self._until = self._clock() + ANONYMOUS_FOR
        return self._anonymous

    def _recalled(self, access: Access, credentials: Credentials) -> Principal | None:
        """Return who was known a moment ago: most requests are by them, and need no time limit."""
        try:
            found = access.recall(credentials)
        except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
            failure = as_failure(exc)
            raise self._unknown(f"{type(failure).__name__} at {raised_at(failure)}") from None
        return None if found is None else self._checked(found)

    async def _known(self, access: Access, credentials: Credentials) -> Principal:
        waits = waits_for_servers.set(False)
        try:
            with anyio.move_on_after(self._limit) as scope:
                found = await access.authenticate(credentials)
        except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
            failure = as_failure(exc)
            if isinstance(failure, Denied):
                raise _problem(failure) from None
            raise self._unknown(f"{type(failure).__name__} at {raised_at(failure)}") from None
        finally:
            waits_for_servers.reset(waits)
        if scope.cancel_called:  # even where an answer came, too late
            raise self._unknown(f"no answer within {self._limit:g} s")
        return self._checked(found)

    def _checked(self, found: Principal) -> Principal:
        # One is handed out again and again, and looked at once.
        if self._judged.get(id(found), self) is not found:
            if not fits(found, Principal):
                raise self._unknown(f"its answer is {type(found).__name__}")
            if len(self._judged) >= MOST_KNOWN:
                self._judged.clear()
            self._judged[id(found)] = found
        return found

    @staticmethod
    def _unknown(why: str) -> HttpProblem:
        log.error("nobody can tell who asks: %s", why)
        return UNAVAILABLE("nobody can tell who asks")

    def allowed(self, principal: Principal, permission: Permission) -> bool:
        """Say whether they may; in doubt they may not."""
        if self._access is None:
            return principal.may(permission)
        try:
            return self._access.allowed(principal, permission) is True
        except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
            log.error("nobody can tell who may what: %s", type(as_failure(exc)).__name__)  # noqa: TRY400
            return False

    async def ways(self) -> Sequence[str]:
        """Say by what callers can prove who they are; empty where nobody can, or can tell."""
        if self._access is None:
            return ()
        try:
            return await asked(Unknown, self._limit, Sequence[str], self._access.ways)
        except Unknown as exc:
            log.error("nobody can tell whether there are keys: %s", exc)  # noqa: TRY400 - it says where it was raised
            return ()


def _problem(denied: Denied) -> HttpProblem:
    """Return what somebody is told who isn't let in; the reason is for the record alone."""
    if denied.code == "rate-limited":
        after = str(int(denied.retry_after or 1) + 1)
        return RATE_LIMITED("too many wrong credentials", headers={"Retry-After": after})
    if denied.code == "unavailable":
        after = str(int(denied.retry_after or 1) + 1)
        return UNAVAILABLE("nobody can tell who asks", headers={"Retry-After": after})
    return UNAUTHENTICATED("the credentials prove nothing", headers={"WWW-Authenticate": "Bearer"})
