from __future__ import annotations

from tta_example_plugin import ExamplePlugin
from tta_kernel import State
from tta_kernel.testing import problems, running


async def test_it_runs_until_the_kernel_stops() -> None:
    kernel = running(ExamplePlugin)
    states: list[State] = []

    async with kernel:
        states.append(kernel.records["example-plugin"].state)
    states.append(kernel.records["example-plugin"].state)

    assert states == [State.RUNNING, State.STOPPED]


def test_an_unknown_key_is_refused_before_anything_starts() -> None:
    [problem] = problems(ExamplePlugin, config={"colour": "blue"})

    assert problem.startswith("plugins.example-plugin.config.colour: ")
