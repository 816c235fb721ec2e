"""Whatever another engine, or a whole other policy, does: nothing is opened, and nothing crashes."""

from __future__ import annotations

from typing import Any, cast

import anyio
import pytest

from tta_kernel.testing import LIMIT, Outcome, Stranger, strangers
from tta_tool_policy import Decision, GuardedPolicy, Policy, ToolCall
from tta_tool_policy.opinions import with_opinions

ALLOWED = Decision(effect="allow", rule="r", reason="rule", policy="0")
CALL = ToolCall(tool="dice", version="1.0.0")


@pytest.mark.boundary("tta_tool_policy.Policy", "tta_tool_policy.GuardedPolicy.__init__.policy")
@pytest.mark.parametrize("stranger", strangers(returns=Decision, answer=ALLOWED), ids=str)
async def test_whatever_a_policy_does_it_denies_unless_it_allows_in_time(stranger: Stranger) -> None:
    class Odd:
        async def decide(self, call: ToolCall) -> Any:
            return await stranger()

    guarded = GuardedPolicy(cast("Policy", Odd()), limit=LIMIT)
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            await guarded.decide(CALL)
        return
    decision = await guarded.decide(CALL)
    assert decision.effect == "deny" or stranger.outcome in (Outcome.NAMED, Outcome.HARMLESS)


@pytest.mark.parametrize("stranger", strangers("plain", returns=bool), ids=str)
def test_whatever_a_policy_says_of_flags_they_are_read_in_doubt(stranger: Stranger) -> None:
    class Odd:
        def reads_flags(self, tool: str, version: str) -> Any:
            return stranger()

    guarded = GuardedPolicy(cast("Policy", Odd()))
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            guarded.reads_flags("dice", "1.0.0")
    elif stranger.outcome is Outcome.FAILURE:
        assert guarded.reads_flags("dice", "1.0.0")


async def test_without_a_policy_everything_is_denied() -> None:
    decision = await GuardedPolicy(None).decide(CALL)
    assert (decision.effect, decision.reason) == ("deny", "no-policy")


async def test_of_several_engines_the_strictest_decides() -> None:
    async def answers() -> Any:
        await anyio.lowlevel.checkpoint()
        return {
            "cedar": Decision(effect="ask", rule="r2", reason="big", policy="x", approval_ttl=60.0),
            "opa": ALLOWED,
            "silent": None,
        }

    decision = await with_opinions(ALLOWED, answers)
    assert (decision.effect, decision.rule, decision.reason) == ("ask", "hook:cedar:r2", "big")
    assert decision.approval_ttl == 60.0
