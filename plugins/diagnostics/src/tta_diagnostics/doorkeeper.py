"""Who comes in: what a request shows is turned into a principal."""

from __future__ import annotations

from aiohttp import web

from tta_http import ANONYMOUS, Permission, Principal


class Doorkeeper:
    """Without a service that knows anybody, everybody is anonymous."""

    async def admit(self, request: web.BaseRequest) -> Principal:
        """Return who asks; raises `HttpProblem` where what is shown proves nothing."""
        return ANONYMOUS

    def allowed(self, principal: Principal, permission: Permission) -> bool:
        """Say whether they may."""
        return principal.may(permission)
