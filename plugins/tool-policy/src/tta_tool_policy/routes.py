"""What is asked for over HTTP: which policy is in force, whether another could be, and loading it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from tta_http import CONFLICT, Nothing, Principal, Route

from .deciding import RulesPolicy
from .model import PolicyStatus, Reloaded

LONGEST = 2_000_000


class PolicyView(msgspec.Struct, frozen=True, kw_only=True):
    """The policy in force, without what looks like a secret, and the last reloads."""

    hash: str
    source: str
    policy: Mapping[str, Any]
    reloads: Sequence[Reloaded]


class ValidateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A policy as it would stand in a file."""

    text: Annotated[str, msgspec.Meta(max_length=LONGEST)]
    format: Literal["yaml", "json"] = "yaml"


class Validated(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a policy can be put in force, and what keeps it from that; nothing was changed."""

    ok: bool
    problems: Sequence[str] = ()


def policy_routes(policy: Callable[[], RulesPolicy]) -> Sequence[Route]:
    """Return the routes."""

    async def show(request: Nothing, principal: Principal) -> PolicyView:
        status = policy().status()
        return PolicyView(hash=status.hash, source=status.source, policy=policy().redacted(), reloads=status.reloads)

    async def tell(request: Nothing, principal: Principal) -> PolicyStatus:
        return policy().status()

    async def reload(request: Nothing, principal: Principal) -> Reloaded:
        found = await policy().reload()
        if not found.ok:
            raise CONFLICT(f"the policy can't be used, and the one before stays in force: {found.error}"[:2000])
        return found

    async def validate(request: ValidateRequest, principal: Principal) -> Validated:
        problems = await policy().validate(request.text, request.format)
        return Validated(ok=not problems, problems=[str(problem)[:500] for problem in problems[:100]])

    return [
        Route(
            method="GET", path="/policy", permission="policy:read", handler=show, response=PolicyView,
            summary="Show the policy of tools that is in force.", example=_VIEW,
        ),
        Route(
            method="GET", path="/policy/status", permission="policy:read", handler=tell, response=PolicyStatus,
            summary="Say which policy of tools is in force, since when, and whether its file can be used.",
            example=_STATUS,
        ),
        Route(
            method="POST", path="/policy/reload", permission="policy:reload", handler=reload, response=Reloaded,
            summary="Load the policy of tools again: whole, or not at all.", problems=(CONFLICT,), timeout=15.0,
            example=_RELOADED,
        ),
        Route(
            method="POST", path="/policy/validate", permission="policy:validate", handler=validate,
            request=ValidateRequest, response=Validated, mutates=False, limit="costly",
            summary="Say what is wrong with a policy of tools, and change nothing.", example=Validated(ok=True),
        ),
    ]  # fmt: skip


_RELOADED = Reloaded(at=1772366400.25, source="/etc/tta/policy.yaml", hash="0f3a9c41d2b7e865", ok=True)
_VIEW = PolicyView(
    hash="0f3a9c41d2b7e865",
    source="/etc/tta/policy.yaml",
    policy={"version": 1, "rules": [{"id": "dice", "effect": "allow", "tools": ["dice:1.*"]}]},
    reloads=[_RELOADED],
)
_STATUS = PolicyStatus(
    source="/etc/tta/policy.yaml", hash="0f3a9c41d2b7e865", since=1772366400.25, rules=1, watching=False,
    reloads=(_RELOADED,),
)  # fmt: skip
