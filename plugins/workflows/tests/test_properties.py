"""Random workflows whose steps fail at random, in processes that die at random: what holds of every run."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from tta_agents import AgentError
from tta_workflows.definition import Retry, Workflow
from tta_workflows.engine import Settings
from tta_workflows.journal import Journal
from tta_workflows.memory import MemoryJournal
from tta_workflows.plan import make_plan
from tta_workflows.records import AnyRecord, Degraded, Done, Failed, Skipped, Started, Undone
from tta_workflows.runs import Run
from tta_workflows.state import State, effects
from tta_workflows.testing import Call, Cut, FakeAgents, Processes, workflow

LEASE = 30.0
SETTINGS = Settings(lease=LEASE, grace=0.0, undo=Retry(attempts=6, delay=0.0))


def random_workflow(dice: random.Random) -> Workflow:
    """Make a workflow of up to nine steps, which need any of those before."""
    steps: list[dict[str, Any]] = []
    for number in range(dice.randint(1, 9)):
        needs = [f"s{each}" + dice.choice(["", "", "?"]) for each in range(number) if dice.random() < 0.4]
        step: dict[str, Any] = {"id": f"s{number}", "agent": "any", "needs": needs, "input": {"n": "input.n"}}
        if dice.random() < 0.6:
            step["undo"] = {"agent": "undo", "input": {"of": "output.of"}}
        if dice.random() < 0.3:
            step["fallback"] = {"of": "fallback"}
        if dice.random() < 0.5:
            step["retry"] = {"attempts": dice.randint(1, 3), "delay": 0.0}
        if dice.random() < 0.3:
            step["on_error"] = "skip-on-error"
        if dice.random() < 0.2:
            step["when"] = dice.choice(["input.n > 5", "input.n <= 5"])
        steps.append(step)
    return workflow(*steps, on_failure=dice.choice(["undo", "undo", "keep"]))


class RandomAgents(FakeAgents):
    """Answer after a while, or fail; the same call always does the same."""

    def __init__(self, seed: int) -> None:
        super().__init__({"any": self._any, "undo": self._undo})
        self.acted: list[str] = []
        self._seed = seed

    async def _any(self, call: Call) -> Mapping[str, Any]:
        dice = random.Random(f"{self._seed} {call.key}")
        self.acted.append(call.key)
        if dice.random() < 0.2:
            await call.on_rollback("undo", of="the agent's own")
        for _ in range(dice.randint(0, 4)):
            await anyio.lowlevel.checkpoint()
        if dice.random() < 0.25:
            raise AgentError("tired", retryable=dice.random() < 0.7)
        return {"of": call.key}

    async def _undo(self, call: Call) -> Mapping[str, Any]:
        dice = random.Random(f"{self._seed} {call.key}")
        await anyio.lowlevel.checkpoint()
        if dice.random() < 0.3:
            raise AgentError("jammed")
        return {}


def holds(definition: Workflow, run: Run, records: Sequence[AnyRecord], agents: RandomAgents) -> None:
    plan = make_plan("w", {"w": definition})
    done = [each.step for each in records if isinstance(each, Done)]
    assert max(Counter(done).values(), default=1) == 1, "an output was committed twice"
    began = {each.step for each in records if isinstance(each, Started)}
    acted = {key.split(":")[1] for key in agents.acted}
    assert set(done) <= acted, "a step is done that never acted"
    assert acted <= began, "a step acted that the journal doesn't know of"
    settled: set[str] = set()
    for record in records:
        if isinstance(record, Started) and record.attempt == 1:
            planned = plan.ids[record.step]
            assert {plan.steps[each].id for each in (*planned.hard, *planned.soft)} <= settled, "it didn't wait"
        elif isinstance(record, Done | Skipped | Degraded):
            settled.add(record.step)
    if run.status == "done":
        assert settled == set(plan.ids)
        return
    assert run.status in ("failed", "stuck")
    assert any(isinstance(each, Failed) and not each.again for each in records)
    before = State(each for each in records if not isinstance(each, Undone) and type(each).__name__ != "RolledBack")
    due = [(each.step, each.number) for each in effects(plan, before)] if definition.on_failure == "undo" else []
    taken = [(each.step, each.number) for each in records if isinstance(each, Undone) and not each.again]
    assert taken == due, "it wasn't taken back in the reverse of its commits"
    committed = [before.steps[step].committed for step, _ in due]
    assert committed == sorted(committed, key=lambda at: -(at or 10**9))
    stuck = {each.step for each in records if isinstance(each, Undone) and each.code and not each.again}
    assert set(run.stuck) == stuck


@pytest.mark.parametrize("seed", range(60))
async def test_every_run_comes_to_its_end_and_keeps_what_is_promised(seed: int) -> None:
    dice = random.Random(seed)
    definition, agents = random_workflow(dice), RandomAgents(seed)
    processes = Processes(MemoryJournal(lambda: 1000.0), agents, settings=SETTINGS)
    with anyio.fail_after(10):
        async with processes.running(None, w=definition) as workflows:
            run = await workflows.run("w", {"n": dice.randint(1, 10)}, key="r")
            holds(definition, run, await workflows.history("r"), agents)


@pytest.mark.parametrize("seed", range(100, 160))
async def test_so_does_every_run_whose_processes_die(seed: int) -> None:
    dice = random.Random(seed)
    definition, agents = random_workflow(dice), RandomAgents(seed)
    now = 1000.0
    journal = MemoryJournal(lambda: now)
    processes = Processes(journal, agents, settings=SETTINGS)
    with anyio.fail_after(10):
        for life in range(4):
            last = life == 3
            cut = Cut(journal, 10**6 if last else dice.randint(0, 6), stored=dice.random() < 0.5)
            async with processes.running(cast("Journal", cut), w=definition) as workflows:
                if life == 0:
                    await workflows.start("w", {"n": dice.randint(1, 10)}, key="r")
                handle = await workflows.find("r")
                assert handle is not None
                async with anyio.create_task_group() as tasks:

                    async def ended() -> None:
                        await handle.result()  # noqa: B023 - it ends within this round
                        tasks.cancel_scope.cancel()

                    tasks.start_soon(ended)
                    await cut.broken.wait()
                    tasks.cancel_scope.cancel()
                if last:
                    run = await workflows.query("r")
                    assert run is not None
                    holds(definition, run, await workflows.history("r"), agents)
            now += LEASE + 1
