from __future__ import annotations

from typing import Any

import pytest

from tta_kernel import NoConfig, Plugin, hookimpl
from tta_kernel.testing import LIMIT, Outcome, Stranger, problems, running, strangers
from tta_program import LayeredSettings
from tta_tool_policy import POLICY, Decision, ToolCall, ToolPolicy

CALL = ToolCall(tool="dice", version="1.0.0")


async def test_without_a_rule_it_denies() -> None:
    async with running(ToolPolicy) as kernel:
        decision = await kernel.get(POLICY).decide(ToolCall(tool="dice", version="1.0.0"))

    assert (decision.effect, decision.rule) == ("deny", "default")


def test_an_unknown_key_is_refused_before_anything_starts() -> None:
    [problem] = problems(ToolPolicy, config={"colour": "blue"})

    assert problem.startswith("plugins.tool-policy.config.colour: ")


@pytest.mark.boundary("tta_tool_policy.decide_tool_call")
@pytest.mark.parametrize("stranger", strangers(returns=Decision | None, answer=None), ids=str)
async def test_whatever_another_engine_does_it_opens_nothing(stranger: Stranger) -> None:
    class Odd(Plugin[NoConfig]):
        @hookimpl(optionalhook=True)
        async def decide_tool_call(self, call: ToolCall) -> Any:
            return await stranger()

    settings = LayeredSettings(hook_timeouts={"decide_tool_call": LIMIT})
    async with running(ToolPolicy, Odd, settings=settings) as kernel:
        policy = kernel.get(POLICY)
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                await policy.decide(CALL)
            return
        assert (await policy.decide(CALL)).effect == "deny"
