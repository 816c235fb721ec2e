"""What a turn of the story leaves in its run's journal: not much more than what changed in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tta_agents import AgentsMemory, AgentsPlugin
from tta_input_processor import InputProcessor
from tta_kernel.testing import running
from tta_narrative_generator import NarrativeGenerator
from tta_workflows import WORKFLOWS, WorkflowsLocal, WorkflowsMemory, WorkflowsPlugin
from tta_workflows.journal import JOURNAL
from tta_workflows.records import Done
from tta_world_builder import WorldBuilder

PLUGINS = (
    WorkflowsPlugin, WorkflowsLocal, WorkflowsMemory, AgentsPlugin, AgentsMemory, InputProcessor, WorldBuilder,
    NarrativeGenerator,
)  # fmt: skip
FOLDER = Path(__file__).resolve().parents[1] / "config" / "workflows"


async def test_the_journal_of_a_turn_holds_at_most_twice_what_changed_in_it() -> None:
    definitions = {file.stem: msgspec.yaml.decode(file.read_bytes()) for file in FOLDER.glob("*.yaml")}
    world: Mapping[str, Any] | None = None
    async with running(*PLUGINS, config={"workflows": definitions}) as kernel:
        for turn, text in enumerate(("look", "go to the cottage", "hello"), 1):
            given = {"text": text, "seed": 5, "turn": turn, "world": world}
            run = await kernel.get(WORKFLOWS).run("turn", given, key=f"turn-{turn}")
            found = await kernel.get(JOURNAL).read(f"turn-{turn}")
            assert found is not None
            outputs = [record.output for record in found.records if isinstance(record, Done)]
            # A world that nobody has changed is the same one, however often it is handed on.
            changed = {msgspec.msgpack.encode(value) for each in (given, *outputs) for value in each.values()}
            stored = sum(len(msgspec.msgpack.encode(each)) for each in (found.head, *found.records))
            assert stored <= 2 * sum(map(len, changed))
            world = run.output["world"]
