"""What an agent says of how it came to its output is shown with its step, and is nobody's text."""

from __future__ import annotations

import time
from typing import Any

import anyio
import pytest

from tta_workflows.memory import MemoryJournal
from tta_workflows.runs import StepRun
from tta_workflows.testing import Call, FakeAgents, Processes, workflow
from tta_workflows.traces import MOST, trace_of


async def test_a_trace_is_shown_with_its_step() -> None:
    async def tell(call: Call) -> dict[str, Any]:
        return {"text": "x", "trace": {"by": "rules", "why": "timed_out"}}

    fakes = FakeAgents({"tell": tell})
    definition = workflow({"id": "a", "agent": "tell"})
    with anyio.fail_after(60):
        async with Processes(MemoryJournal(time.time), fakes).running(w=definition) as workflows:
            run = await workflows.run("w", {}, key="r")
    [step] = run.steps
    assert (step.trace, step.result) == ({"by": "rules", "why": "timed_out"}, "done (by rules, why timed_out)")


@pytest.mark.parametrize(
    "trace",
    [
        None,
        "by model",
        ["by"],
        {"by": 1},
        {"by": "what a person wrote"},
        {"a name": "x"},
        {"by": ""},
        {"by": "x" * 101},
    ],
    ids=str,
)
def test_what_could_be_a_text_is_no_trace(trace: object) -> None:
    assert trace_of({"trace": trace}) == {}


def test_a_trace_is_bounded() -> None:
    assert len(trace_of({"trace": {f"n{number}": "x" for number in range(100)}})) == MOST


def test_without_an_output_there_is_none() -> None:
    assert (trace_of(None), StepRun("a", "b", "done").trace) == ({}, {})
