"""Leave that humans give to single calls, on Redis."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from tta_redis import Redis, Replication
from tta_tools import Approval, ApprovalStatus, NoSuchApproval, ToolStoreError
from tta_tools.memory import place
from tta_tools.store import ApprovalPage

from . import keeping
from .layout import approval_keys
from .part import Part, log, owner_place, store_errors

_approval = msgspec.msgpack.Decoder(Approval)
_AT_ONCE = 100


class Approvals(Part):
    """At most ``most`` of them, each until it expires."""

    def __init__(self, redis: Redis, replication: Replication, *, most: int) -> None:
        super().__init__(redis, replication, most=most)
        self._approvals = approval_keys(redis)
        self.places = (self._approvals[0],)
        self._ask = redis.script(keeping.ASK)
        self._decide = redis.script(keeping.DECIDE)
        self._take = redis.script(keeping.TAKE)
        self._give_back = redis.script(keeping.GIVE_BACK)
        self._read_approval = redis.script(keeping.READ_APPROVAL)
        self._list_approvals = redis.script(keeping.LIST_APPROVALS)
        self._forget_theirs = redis.script(keeping.FORGET_APPROVALS)

    async def ask(self, approval: Approval) -> Approval:
        packed = msgspec.msgpack.encode(approval)
        _approval.decode(packed)  # Only to see whether it comes back.
        arguments = [
            approval.id, approval.binding, place(approval), owner_place(approval.owner), packed,
            round(approval.expires_at * 1000), self._most,
        ]  # fmt: skip
        with store_errors:
            answer = await self._replication.run(self._ask, self._approvals, arguments)
        if answer == [b"full"]:
            raise ToolStoreError(f"{self._most} calls wait for an approval, and no more may be: decide about some")
        found = _decoded(answer)
        if found is None:
            raise ToolStoreError("the approval that was asked for before can't be read: wait until it expires")
        return found

    async def decide(self, id: str, *, approved: bool, by: str, at: float) -> Approval:
        with store_errors:
            arguments = [id, "approved" if approved else "refused", by, repr(at)]
            found = _decoded(await self._replication.run(self._decide, self._approvals, arguments))
        if found is None:
            raise NoSuchApproval("there is no approval of this id (any more)")
        return found

    async def take(self, binding: str, *, at: float) -> Approval | None:
        with store_errors:
            arguments = [binding, round(at * 1000), secrets.token_hex(16)]
            return _decoded(await self._replication.run(self._take, self._approvals, arguments))

    async def give_back(self, id: str) -> bool:
        with store_errors:
            return bool(await self._replication.run(self._give_back, self._approvals, [id]))

    async def approval(self, id: str) -> Approval | None:
        with store_errors:
            return _decoded(await self._read_approval(self._approvals, [id], retry=True))

    async def approvals(
        self, status: ApprovalStatus | Literal[""] = "", cursor: str = "", limit: int = 50
    ) -> ApprovalPage:
        found: list[Approval] = []
        last = f"({cursor}" if cursor else "+"
        with store_errors:
            # One more than is wanted: whether any follow.
            while len(found) <= limit:
                rows = await self._list_approvals(self._approvals, [last, _AT_ONCE], retry=True)
                if not rows:
                    break
                some = [_decoded(row[1:]) for row in rows]
                found += [each for each in some if each is not None and status in ("", each.status)]
                last = b"(" + rows[-1][0]
        shown = found[:limit]
        return ApprovalPage(shown, place(shown[-1]) if len(found) > limit else "")

    async def forget(self, owner: str) -> int:
        """Erase a person's approvals, and return how many."""
        count = 0
        while True:
            found, dropped = await self._replication.run(
                self._forget_theirs, self._approvals, [owner_place(owner)]
            )  # fmt: skip
            count += int(dropped)
            if not found:
                return count


def _decoded(row: Sequence[bytes]) -> Approval | None:
    if not row:
        return None
    packed, status, by, decided_at = row
    try:
        # It expires as any other, also where it can't be read.
        return replace(
            _approval.decode(packed), status=msgspec.convert(status.decode(), ApprovalStatus), by=by.decode(),
            decided_at=float(decided_at),
        )  # fmt: skip
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        log.error("an approval can't be read, and is passed over: %s", exc)
        return None
