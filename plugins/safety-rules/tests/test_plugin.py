from __future__ import annotations

from tta_kernel import State
from tta_kernel.testing import problems, running
from tta_safety_rules import SafetyRules


async def test_it_runs_until_the_kernel_stops() -> None:
    kernel = running(SafetyRules)
    states: list[State] = []

    async with kernel:
        states.append(kernel.records["safety-rules"].state)
    states.append(kernel.records["safety-rules"].state)

    assert states == [State.RUNNING, State.STOPPED]


def test_an_unknown_key_is_refused_before_anything_starts() -> None:
    [problem] = problems(SafetyRules, config={"colour": "blue"})

    assert problem.startswith("plugins.safety-rules.config.colour: ")
