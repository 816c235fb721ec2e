"""A policy, whoever wrote it: what it can't say in time, and rightly, it has denied."""

from __future__ import annotations

import anyio

from tta_kernel import as_failure, check_duration
from tta_kernel.shapes import fits

from .deciding import RulesPolicy
from .model import Decision, Policy, ToolCall
from .opinions import is_sound

LIMIT = 5.0
"""Seconds that a decision may take, with other engines asked and the record written."""


class GuardedPolicy:
    """What whoever calls tools asks: without a policy, or with one that is broken, everything is denied."""

    def __init__(self, policy: Policy | None, *, limit: float = LIMIT) -> None:
        check_duration("limit", limit, positive=True)
        self._policy = policy
        self._limit = limit

    async def decide(self, call: ToolCall) -> Decision:
        """Decide about a call; raises nothing but a cancellation that somebody asked for."""
        policy = self._policy
        if policy is None:
            return _denied("no-policy")
        if isinstance(policy, RulesPolicy):
            # It answers rightly, and whatever it waits for has a limit; to see to that costs 30 µs, and to decide 2.
            return await policy.decide(call)
        return await self._decided(policy, call)

    async def _decided(self, policy: Policy, call: ToolCall) -> Decision:
        decision = None
        with anyio.move_on_after(self._limit) as scope:
            try:
                decision = await policy.decide(call)
            except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
                as_failure(exc)
                return _denied("failed")
        if scope.cancel_called:  # Also where an answer came, too late.
            return _denied("late")
        if not isinstance(decision, Decision) or not fits(decision, Decision) or not is_sound(decision):
            return _denied("no-answer")
        return decision

    def reads_flags(self, tool: str, version: str) -> bool:
        """Whether flags of the session are to be read first; in doubt they are."""
        if self._policy is None:
            return False
        try:
            return self._policy.reads_flags(tool, version) is not False
        except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
            as_failure(exc)
            return True


def _denied(reason: str) -> Decision:
    return Decision(effect="deny", rule="policy", reason=reason, policy="")
