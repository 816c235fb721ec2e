"""A human's leave for one call: asked for, given to nobody else, and taken once."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from typing import Literal
from uuid import uuid4

from tta_http import Principal
from tta_kernel import Event
from tta_tool_policy import Decision, ToolCall

from .events import ToolApprovalAsked, ToolApprovalDecided
from .keeping import digest
from .model import Approval, ApprovalStatus, ToolError
from .settings import Config
from .store import ApprovalPage, NoSuchApproval, ToolStore, ToolStoreError

log = logging.getLogger("tta.tools")
_LONGEST_NAME = 200


class Approvals:
    """Approvals in a store."""

    def __init__(
        self,
        store: ToolStore,
        config: Config,
        *,
        publish: Callable[[Event], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._config, self._publish, self._clock = store, config, publish, clock

    async def take(self, call: ToolCall, decision: Decision, arguments: bytes, key: str) -> str:
        """Take the approval of this very call, and return its id; else raise a `ToolError`, and ask for one once."""
        given = hashlib.sha256(arguments).hexdigest()
        requester = name_of(call.principal)
        binding = digest(call.tool, call.version, given, requester, call.agent, call.session, call.owner)
        now = self._clock()
        if (taken := await self._store.take(binding, at=now)) is not None:
            return taken.id
        ttl = self._config.approval_ttl if decision.approval_ttl is None else decision.approval_ttl
        wanted = Approval(
            id=uuid4().hex, binding=binding, tool=call.tool, version=call.version, arguments=given,
            requester=requester, agent=call.agent, session=call.session, owner=call.owner, rule=decision.rule,
            key=key, asked_at=now, expires_at=now + ttl,
        )  # fmt: skip
        found = await self._store.ask(wanted)
        what = f"{call.tool}:{call.version}"
        if found.status == "refused":
            raise ToolError("denied", f"{what}: a human has refused this call (approval {found.id})", approval=found.id)
        if found.id == wanted.id:
            self._publish(
                ToolApprovalAsked(
                    approval=found.id,
                    tool=call.tool,
                    version=call.version,
                    rule=decision.rule,
                    expires_at=found.expires_at,
                    agent=call.agent,
                    session=call.session,
                    owner=call.owner,
                )
            )
        raise ToolError(
            "approval_required", f"{what}: a human must approve this call first: tta tools approve {found.id}",
            approval=found.id,
        )  # fmt: skip

    async def give_back(self, id: str) -> None:
        """Let an approval count for the next try: the call that took it wasn't made."""
        try:
            await self._store.give_back(id)
        except ToolStoreError as exc:
            log.warning("approval %s is spent, though its call wasn't made: %s", id, exc)

    async def decide(self, id: str, *, approved: bool, by: str) -> Approval:
        """Approve or refuse as ``by``, in whose name nobody else may have asked."""
        by = by.strip()
        if not 0 < len(by) <= _LONGEST_NAME or not by.isprintable():
            raise ToolError("invalid_arguments", f"whoever decides has a name of 1 to {_LONGEST_NAME} characters")
        found = await self._store.approval(id)
        if found is None:
            raise NoSuchApproval("there is no approval of this id (any more)")
        if _person(by) in {_person(each) for each in (found.requester, found.agent, found.owner) if each}:
            raise ToolError("denied", "whoever asks for a call doesn't approve it: somebody else has to")
        if found.status != "pending":
            return found
        decided = await self._store.decide(id, approved=approved, by=by, at=self._clock())
        self._publish(
            ToolApprovalDecided(
                approval=decided.id,
                tool=decided.tool,
                version=decided.version,
                approved=decided.status != "refused",
                by=decided.by,
                session=decided.session,
                owner=decided.owner,
            )
        )
        return decided

    async def page(self, status: ApprovalStatus | Literal[""], cursor: str, limit: int) -> ApprovalPage:
        """Return approvals, the newest first."""
        return await self._store.approvals(status, cursor, limit)


def name_of(principal: Principal) -> str:
    """Return a principal as approvals name it."""
    return f"{principal.kind}:{principal.name}"


def _person(name: str) -> str:
    """Return a name without what says how somebody proved it: `local:anna` and `Anna` are one person."""
    return name.rpartition(":")[2].strip().casefold()
