"""The record of decisions: many are written at once, and whoever is allowed something waits until it is kept."""

from __future__ import annotations

from collections import deque

import anyio
import msgspec

from tta_audit import Audit, Entry
from tta_audit.model import Detail
from tta_kernel import as_failure

from .engine import BEFORE_RULES
from .model import Decision, ToolCall

DECISION = "tools.decide"
ARGUMENTS = "tta.tool.arguments"
_PIECE = 200
"""Characters that a word of an entry may have."""
_PIECES = 20
_TOGETHER = 1000
"""Entries that are written at once; while a disk is waited for, the callers of other entries go on."""
_MOST_BATCHES = 10
"""How many such may wait for those before them; a disk that stands still must not fill the memory."""


def entry_of(call: ToolCall, decision: Decision) -> Entry:
    """Return what is recorded of a decision: no arguments, unless the tool lets them be kept."""
    allowed = decision.effect == "allow"
    details: dict[str, Detail] = {
        "tta.policy.effect": decision.effect,
        "tta.policy.rule": decision.rule,
        "tta.policy.hash": decision.policy,
    }
    # Where no rule was asked, it may be because of what the rest of the call is.
    if decision.rule != BEFORE_RULES:
        details |= _said(call, decision)
    return Entry(
        what=DECISION,
        who=_text(call.principal.name),
        kind=_text(call.principal.kind),
        outcome="done" if allowed else "refused",
        target=f"{call.tool}:{call.version}",
        code="" if allowed else decision.reason,
        owner=_text(call.owner),
        details=details,
    )


def _said(call: ToolCall, decision: Decision) -> dict[str, Detail]:
    """Return what else is known of a call; of most that is little, and only what says something is kept."""
    found: dict[str, Detail] = {}
    if decision.shadow:
        found["tta.policy.shadow"] = decision.shadow
    if call.callable:
        found["tta.tool.callable"] = call.callable
    if call.flags:
        found["tta.tool.flags"] = call.flags
    if call.tags:
        found["tta.tool.tags"] = call.tags
    if call.principal.roles:
        found["user.roles"] = call.principal.roles
    if call.agent:
        found["gen_ai.agent.name"] = call.agent
    if call.session:
        found["session.id"] = _text(call.session)
    if call.audit:
        kept = _arguments(call)
        if kept is not None:
            found[ARGUMENTS] = kept
    return found


def _text(value: object) -> str:
    """Return a text that is kept: what isn't one must not keep those beside it from being written."""
    return value if type(value) is str else type(value).__name__


def _arguments(call: ToolCall) -> tuple[str, ...] | None:
    """Return the arguments as pieces of JSON; None for what can't be kept whole."""
    try:
        text = msgspec.json.encode(call.arguments).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    if len(text) > _PIECE * _PIECES:
        return None
    return tuple(text[at : at + _PIECE] for at in range(0, len(text), _PIECE))


class _Batch:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.written = anyio.Event()
        self.kept = False


class Recorder:
    """Writes what is recorded, as many entries at once as have come while those before them were written."""

    def __init__(self, audit: Audit, *, limit: float) -> None:
        self.trouble = ""
        """Why the last entries could not be kept; empty where they were."""
        self._audit = audit
        self._limit = limit
        self._waiting = deque([_Batch()])
        """The last of them is still filled; there is always one."""
        self._come = anyio.Event()
        self._open = False

    async def keep(self, entry: Entry) -> bool:
        """Wait until an entry is kept; False where it can't be."""
        if not self._open:
            return False
        batch = self._waiting[-1]
        if len(batch.entries) >= _TOGETHER:
            if len(self._waiting) >= _MOST_BATCHES:
                return False
            batch = _Batch()
            self._waiting.append(batch)
        batch.entries.append(entry)
        self._come.set()
        await batch.written.wait()
        return batch.kept

    async def run(self) -> None:
        """Write what comes; never ends."""
        self._open = True
        try:
            while True:
                if not self._waiting[0].entries:
                    await self._come.wait()
                    self._come = anyio.Event()
                    continue
                batch = self._waiting[0]
                # It stays the first while it is written: so whoever comes is told that there are too many.
                if len(self._waiting) == 1:
                    self._waiting.append(_Batch())
                await self._write(batch)
                self._waiting.popleft()
                batch.written.set()
        finally:
            # Nobody may wait for what nobody writes any more.
            self._open = False
            for batch in self._waiting:
                batch.written.set()
            self._waiting = deque([_Batch()])

    async def _write(self, batch: _Batch) -> None:
        self.trouble = f"the record didn't answer within {self._limit:g} s"
        with anyio.move_on_after(self._limit):
            try:
                await self._audit.record_all(batch.entries)
                batch.kept = True
                self.trouble = ""
            except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
                self.trouble = f"decisions can't be recorded: {type(as_failure(exc)).__name__}"
