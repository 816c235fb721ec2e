"""The examples of docs/workflows.md are right, and their runs do what the page says."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
import yaml

from tta_agents import AgentError
from tta_kernel import Kernel, NoConfig
from tta_workflows import WORKFLOWS, Run, RunHandle, Waiting, Workflow, Workflows, WorkflowSaid
from tta_workflows.check import problems
from tta_workflows.executor import Executor
from tta_workflows.library import decode
from tta_workflows.local import LocalConfig
from tta_workflows.memory import MemoryJournal
from tta_workflows.testing import Call, FakeAgents, Processes

PAGE = (Path(__file__).resolve().parents[3] / "docs/workflows.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## By example\n")[2].partition("\n## ")[0]
PROGRAM = PAGE.partition("\n## From a program\n")[2].partition("\n## ")[0]
MANY = PAGE.partition("\n## Many at once\n")[2].partition("\n## ")[0]
FILES = dict(re.findall(r"^```yaml\n# (\w+)\.yaml\n(.*?)^```$", SECTION + MANY, flags=re.MULTILINE | re.DOTALL))
DEFINITIONS_SHOWN: Mapping[str, Workflow] = {name: decode(Path(f"{name}.yaml"), text) for name, text in FILES.items()}


async def weather(call: Call) -> Mapping[str, Any]:
    return {"text": f"sun in {call.request['place']}"}


async def news(call: Call) -> Mapping[str, Any]:
    return {"text": "no news"}


async def letter(call: Call) -> Mapping[str, Any]:
    return {"text": "; ".join(str(call.request[key]) for key in ("first", "second", "third") if key in call.request)}


async def tired(call: Call) -> Mapping[str, Any]:
    raise AgentError("failed", retryable=True)


async def broken(call: Call) -> Mapping[str, Any]:
    raise AgentError("broken")


async def book(call: Call) -> Mapping[str, Any]:
    return {"number": 7}


async def count(call: Call) -> Mapping[str, Any]:
    return {"number": call.request.get("from", 0) + 1}


class Guide:
    """What a run of an example does."""

    def __init__(self) -> None:
        work = {
            "weather": weather, "news": news, "letter": letter, "tired": tired, "broken": broken, "book": book,
            "cancel": book, "count": count,
        }  # fmt: skip
        self.agents = FakeAgents(dict(work))
        self.processes = Processes(MemoryJournal(time.time), self.agents)

    async def run(self, name: str, **input: Any) -> Run:
        async with self.processes.running(None, **DEFINITIONS_SHOWN) as workflows:
            return await workflows.run(name, input)

    def calls(self, type: str) -> list[Mapping[str, Any]]:
        return [call.request for call in self.agents.calls if call.agent.type == type]


@pytest.fixture
def guide() -> Guide:
    return Guide()


def test_all_examples_are_found_and_right_but_for_their_agents() -> None:
    assert FILES.keys() == {"morning", "robust", "choice", "journey", "asked", "rounds", "told", "careful"}
    found = [each for each in problems(DEFINITIONS_SHOWN, {}) if "declares the agent" not in each.what]
    assert found == []


async def test_branches_run_beside_each_other(guide: Guide) -> None:
    assert (await guide.run("morning", place="town")).output == {"text": "sun in town; no news"}


async def test_what_fails_is_tried_again_and_made_up_for(guide: Guide) -> None:
    run = await guide.run("robust", place="town")
    assert run.output == {"text": "some weather"}
    assert run.degraded == ("weather",)
    assert [key for key in guide.agents.keys if key.startswith("weather")] == ["weather:1", "weather:2", "weather:3"]
    assert {step.id: step.status for step in run.steps}["news"] == "skipped"


async def test_one_of_two_is_chosen(guide: Guide) -> None:
    run = await guide.run("choice", place="town")
    assert run.output == {"text": "town; sun in town"}
    assert {step.id: step.status for step in run.steps}["rain"] == "skipped"


async def test_what_came_after_the_savepoint_is_taken_back(guide: Guide) -> None:
    run = await guide.run("journey", place="town")
    assert (run.status, run.error) == ("failed", "broken")
    assert guide.calls("cancel") == [{"place": "town", "number": 7}]
    assert {step.id: step.status for step in run.steps}["booked"] == "done"


async def until_waiting(workflows: Executor, handle: RunHandle) -> None:
    with anyio.fail_after(5):
        while (await handle.query()).status != "waiting":
            await anyio.lowlevel.checkpoint()


async def test_an_answer_from_outside_is_waited_for(guide: Guide) -> None:
    async with guide.processes.running(None, **DEFINITIONS_SHOWN) as workflows:
        handle = await workflows.start("asked", {"text": "hi"})
        await until_waiting(workflows, handle)
        assert (await workflows.signal(handle.id, "agreed", {"sure": "maybe"})).status == "refused"
        assert (await workflows.signal(handle.id, "agreed", {"sure": True})).status == "accepted"
        assert (await handle.result()).output == {"text": "hi"}


async def test_rounds_and_what_stands_within(guide: Guide) -> None:
    assert (await guide.run("rounds", place="town")).output == {"rounds": 3, "text": "sun in town; no news"}


async def test_an_event_goes_out_with_the_output(guide: Guide) -> None:
    await guide.run("told", text="hi")
    said = [event for event in guide.processes.events if isinstance(event, WorkflowSaid)]
    assert [(event.name, event.data) for event in said] == [("letter-written", {"text": "hi"})]


def test_all_that_a_program_may_ask_is_listed() -> None:
    services, handles = PROGRAM.split("| a handle's |")
    for protocol, table in ((Workflows, services), (RunHandle, handles)):
        listed = {name for cell in re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE) for name in _names(cell)}
        assert listed - {"WORKFLOWS"} == {name for name in vars(protocol) if not name.startswith("_")}


def _names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)", cell)


async def test_a_plugin_runs_a_workflow(guide: Guide) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PROGRAM, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "guide"}
    exec(compile(code, "workflows.md", "exec"), names)
    async with guide.processes.running(None, **DEFINITIONS_SHOWN) as workflows:
        async with Kernel(plugins={"mornings": names["Mornings"]}, services={WORKFLOWS: workflows}):
            pass
        run = await workflows.query("monday")
    assert run is not None
    assert (run.status, run.owner) == ("done", "anna")


async def test_a_plugin_brings_a_workflow() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", SECTION, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "guide"}
    exec(compile(code, "workflows.md", "exec"), names)
    definitions = names["Postcards"](NoConfig()).workflow_definitions()
    guide = Guide()
    async with guide.processes.running(None, **definitions) as workflows:
        assert (await workflows.run("postcard", {"text": "hi"})).output == {"text": "hi"}


async def test_a_session_has_one_careful_run_at_a_time_and_a_person_twenty_a_minute(guide: Guide) -> None:
    async with guide.processes.running(None, **DEFINITIONS_SHOWN) as workflows:
        runs = [await workflows.start("careful", {"text": "hi"}, session="s", owner="ann") for _ in range(21)]
        assert [(await run.result()).status for run in runs] == ["done"] * 20 + ["refused"]


def test_a_plugin_adds_a_strategy() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", MANY, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "guide"}
    exec(compile(code, "workflows.md", "exec"), names)
    strategies = names["Slack"](NoConfig()).workflow_strategies()
    assert strategies["least-slack"](Waiting("w", created=0.0, arrived=0.0, deadline=9.0, rest=2.0), 1.0) == 7.0


def test_the_config_shown_is_one() -> None:
    (text,) = re.findall(r"^```yaml\n(plugins:.*?)^```$", MANY, flags=re.MULTILINE | re.DOTALL)
    shown = yaml.safe_load(text)["plugins"]["workflows-local"]["config"]
    assert msgspec.convert(shown, LocalConfig).pools["crisis"].reserved
