"""The hook with which another engine takes part in the decision about a call of a tool."""

from __future__ import annotations

from tta_kernel import hookspec

from .model import Decision, ToolCall


@hookspec(timeout=0.3, together=True)
async def decide_tool_call(call: ToolCall) -> Decision | None:
    """Say what another engine, such as Cedar or OPA, decides about a call; None where it has no opinion.

    It is asked of calls that the policy's own rules allow or ask about, and can only make that stricter: of all
    answers deny goes before ask, and ask before allow. Whoever raises, is late, answers anything else or isn't running
    has denied the call. Rule, reason and ``approval_ttl`` are taken over; limits are those of the policy's rule, or
    the narrower ones.
    """
    raise AssertionError("a specification is never called")
