"""Turns of the story in the whole system, in memory, as a player takes them: all agents, and every check."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tta_kernel import Kernel
from tta_orchestration import ORCHESTRATION, Orchestration
from tta_program import load
from tta_workflows import Run

CONFIG = Path(__file__).resolve().parents[1] / "config"
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"  # The whole system serves HTTP.


@pytest.fixture(scope="module")
async def orchestration() -> AsyncIterator[Orchestration]:
    """Run the system as ``config/testing.yaml`` has it, once for all turns: each test has a session of its own."""
    patient = {"kernel": {"start_timeout": 120}}
    async with Kernel(load(CONFIG, environment="testing", overrides=patient), installed=True) as kernel:
        yield kernel.get(ORCHESTRATION)


WALK = """
look around
follow the lane down to the green
who lives here?
walk to the harbour
sit down for a bit
ask the old man about the boats
go along the beach
go to the green
go to Rope Lane
wait
""".strip().splitlines()


async def test_what_a_turn_changes_in_the_world_is_kept(orchestration: Orchestration) -> None:
    # The checks see the whole of what changes, and may keep it from being so: then the story goes nowhere.
    for line in WALK:
        response = await orchestration.process_user_input(line, "walk", user="anna", seed=7)
        assert response.outcome == "story", line
        assert all(verdict.status == "checked" for verdict in response.verdicts.values()), line


WAYS = {
    "can I talk to a real person?": "reach-out",
    "help": "meta",
    "what time is it": "meta",
    "inventory": "meta",
    "where is the lighthouse": "look",
    "examine the shelter": "look",
    "what happened so far": "tell",
    "sit down": "act",
    "go to the harbour and look around": "act",
    "I'm sad, where am I": "act",
}
RAN = {
    "reach-out": ("narrative-generator",),
    "meta": ("narrative-generator",),
    "look": ("world-builder", "narrative-generator"),
    "tell": ("narrative-generator",),
    "act": ("world-builder", "narrative-generator"),
}


async def test_each_turn_asks_the_agents_of_its_way_and_no_others(orchestration: Orchestration) -> None:
    begun = await orchestration.coordinate_agents("turn", {"text": "look around", "seed": 7, "turn": 1})
    world = begun.output["world"]
    for line, way in WAYS.items():
        run = await orchestration.coordinate_agents("turn", {"text": line, "seed": 7, "turn": 2, "world": world})
        assert (run.status, run.output.get("route")) == ("done", way), line
        asked = tuple(s.agent for s in run.steps if s.id.startswith(f"{way}/") and s.status == "done")
        assert asked == RAN[way], line
        assert [s.id for s in run.steps if s.status == "done" and "/" not in s.id] == ["intent", way], line
        changed = {**run.output["world"], "telling": None} != {**world, "telling": None}
        assert not changed or way in ("look", "act"), line
        if way == "reach-out":
            assert "findahelpline.com" in run.output["text"]


async def test_a_turn_on_each_way_is_streamed_checked_and_kept(orchestration: Orchestration) -> None:
    for number, line in enumerate(["look around", *WAYS], 1):
        async with orchestration.stream_user_input(line, "ways", user="anna", seed=7) as stream:
            pieces = [piece async for piece in stream]
        response = stream.response
        assert ("".join(pieces), response.turn, response.kept) == (response.text, number, True), line
        assert response.outcome == ("supportive" if WAYS.get(line) == "reach-out" else "story"), line
        assert response.text.strip(), line


async def test_each_workflow_of_a_turn_runs_alone_and_refuses_what_it_does_not_take(
    orchestration: Orchestration,
) -> None:

    async def run(workflow: str, **given: Any) -> Run:
        return await orchestration.coordinate_agents(workflow, given)

    looked = await run("world-building", intent={"name": "look"}, seed=7)
    world = looked.output["world"]
    assert (looked.status, bool(looked.output["text"])) == ("done", True)
    meant = await run("input-processing", text="look around", world=world)
    assert (meant.status, meant.output["route"]) == ("done", "look")
    told = await run("narrative", world=world)
    assert (told.status, bool(told.output["text"])) == ("done", True)
    lines = await run("reach-out", world=world, intent={"name": "reach-out", "commands": [{"name": "reach-out"}]})
    assert "findahelpline.com" in lines.output["text"]
    assert (await run("collaborative", text="look around", seed=7)).status == "done"
    for workflow in ("world-building", "narrative", "input-processing", "collaborative", "reach-out"):
        refused = await run(workflow, seed=7)
        assert (refused.status, refused.error, refused.steps) == ("refused", "bad_input", ()), workflow
