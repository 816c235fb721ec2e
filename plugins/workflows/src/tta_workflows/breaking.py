"""Breakers before agents and whole workflows: what fails again and again is not called, or begun, for a while."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from tta_agents import AgentError, AgentId, Reply
from tta_breakers import LONGEST_NAME, Breaker, Breakers, Permit, Refused

from .plan import PlannedStep
from .state import State, StepState

if TYPE_CHECKING:
    from .frame import Frame

CODE = "breaker_open"
"""Of an `AgentError` where an agent isn't called, and of a run that is refused."""
_FAILURES = frozenset({"not_served", "unavailable", "overloaded", "timeout", "failed", "bad_output"})
"""Codes that say of whom was called that it can't do it now; others are answers, or the caller's fault."""

_REFUSALS = frozenset({"overloaded"})
"""Of these, codes that say of a run only that it was not its turn: too many calls wait in a pool."""

Call = Callable[["Frame", PlannedStep, str, AgentId, StepState], Awaitable[Reply]]


def is_failure(error: AgentError) -> bool:
    """Say whether an agent is to blame: what is no code of ours is its own, and a failure where it will do later."""
    return error.code in _FAILURES or (error.retryable and error.code != CODE)


def by_breaker(breakers: Breakers, call: Call, begun: Mapping[str, int]) -> Call:
    """Return ``call`` such that an agent isn't called while its breaker is open; then it is an `AgentError`.

    The attempts in ``begun``, by their steps' paths, were made by a process that is gone: such a call is made again in
    any case, since it may have been done, and then its reply is kept.
    """

    async def guarded(frame: Frame, step: PlannedStep, path: str, agent: AgentId, state: StepState) -> Reply:
        if begun.get(path) == state.attempt:
            return await call(frame, step, path, agent, state)
        answer = await _breaker(breakers, "agent", agent.type).admit()
        if isinstance(answer, Refused):
            raise AgentError(CODE, f"{agent.type} is not called: {why(answer)}")
        try:
            reply = await call(frame, step, path, agent, state)
        except AgentError as exc:
            if is_failure(exc):
                answer.failed()
            else:
                answer.returned()
            raise
        except BaseException:
            answer.returned()
            raise
        answer.succeeded()
        return reply

    return guarded


async def admit(breakers: Breakers, workflow: str) -> Permit | Refused:
    """Ask whether a run of a workflow may begin."""
    return await _breaker(breakers, "workflow", workflow).admit()


def report(permit: Permit, state: State) -> None:
    """Say how a run went that is over, or isn't this process's any more."""
    code = state.end.code if state.end is not None else ""
    if state.status == "done":
        permit.succeeded()
    elif state.status in ("failed", "stuck") and code in _FAILURES - _REFUSALS:
        permit.failed()
    else:
        permit.returned()


def why(refused: Refused) -> str:
    """Say why a call is refused, and until when."""
    until = f"it is tried again in {refused.again:.0f} s" if refused.again else "another call tries it just now"
    return f"{refused.reason}; {until}"


def _breaker(breakers: Breakers, kind: str, name: str) -> Breaker:
    full = f"{kind}:{name}"[:LONGEST_NAME]  # Two that differ later share one.
    return breakers.breaker(full if full.isprintable() else ascii(full)[1 : LONGEST_NAME + 1])
