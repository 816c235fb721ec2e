"""What the player hears while an agent isn't called, or gave less than usual."""

from __future__ import annotations

from typing import Any

import pytest

from tta_agents import AgentError, StepContext
from tta_orchestration import ORCHESTRATION, Failure, OrchestrationResponse, texts
from tta_orchestration.testing import STORY, TURN, Scene, Teller, telling
from tta_safety import Verdict

pytestmark = pytest.mark.anyio


class Resting(Teller):
    async def process(self, request: Scene, ctx: StepContext, /) -> Any:
        raise AgentError("breaker_open", "5 calls in a row have failed")


async def turn(teller: type[Teller], *steps: Any) -> OrchestrationResponse:
    workflow = {**TURN, "steps": [*steps, STORY]}
    async with telling(lambda *_: Verdict("checked", "safe"), teller=teller, turn=workflow) as kernel:
        return await kernel.get(ORCHESTRATION).process_user_input("hello", "s")


async def test_who_needs_an_agent_that_rests_is_asked_to_come_back_and_nothing_has_happened() -> None:
    response = await turn(Resting)
    assert (response.text, response.outcome) == (texts.said(texts.RESTING), "failed")
    assert response.failure == Failure("workflow", "breaker_open")
    assert response.workflow["error"] == "breaker_open"


@pytest.mark.parametrize("code", ["overloaded", "rate_limited"])
async def test_who_comes_where_too_much_goes_on_is_asked_to_say_it_again(code: str) -> None:
    class Crowded(Teller):
        async def process(self, request: Scene, ctx: StepContext, /) -> Any:
            raise AgentError(code, "1000 calls wait already")

    response = await turn(Crowded)
    assert (response.text, response.outcome) == (texts.said(texts.CROWDED), "failed")
    assert response.failure == Failure("workflow", code)


async def test_where_a_step_gave_its_fallback_the_player_is_told_that_it_is_simpler() -> None:
    class Half(Teller):
        async def process(self, request: Scene, ctx: StepContext, /) -> Any:
            if ":mood:" in ctx.key:
                raise AgentError("breaker_open", "5 calls in a row have failed")
            return await super().process(request, ctx)

    fallback = {"text": "calm", "world": {}}
    mood = {"id": "mood", "agent": "teller", "input": {"text": "input.text"}, "fallback": fallback}
    response = await turn(Half, mood)
    assert (response.outcome, response.text) == ("story", "You said hello. The sea answers.")
    assert response.notices == (texts.SIMPLER,)
    assert response.workflow["degraded"] == ("mood",)


async def test_where_all_is_well_nothing_is_said_of_it() -> None:
    response = await turn(Teller)
    assert (response.outcome, response.notices, response.workflow["degraded"]) == ("story", (), ())
