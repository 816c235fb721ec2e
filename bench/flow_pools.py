"""Turns that wait for slots, as users run them: which deadlines are missed, and who feels the flood of another.

Everything is real but the agents' work, which is a sleep: a kernel, agents with their time limits, a journal in memory.
The turns are those of `tta_workflows.testing.simulation`, twenty times as fast.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from statistics import mean
from typing import Any

import anyio
from msgspec import Struct

from tta_agents import AgentPlugin, AgentsMemory, AgentSpec, AgentsPlugin, StepContext
from tta_kernel import Kernel, KernelSettings, NoConfig, Plugin, PluginSettings
from tta_workflows import WORKFLOWS, Workflows, WorkflowsLocal, WorkflowsMemory, WorkflowsPlugin
from tta_workflows.testing.simulation import SLOTS, TURN, SimulatedRun, simulate, turns

SCALE = 0.05
RUNS = 800
SATURATED = 1.05
ROOM = 0.4
FLOOD = 400
AT_ONCE = 100


class Work(Struct, frozen=True):
    seconds: float


class Done(Struct, frozen=True):
    pass


def worker(name: str) -> type[Plugin[Any]]:
    class Worker(AgentPlugin[NoConfig]):
        spec = AgentSpec(name, "sleeps", Work, Done)

        async def process(self, request: Work, ctx: StepContext, /) -> Done:
            await anyio.sleep(request.seconds)
            return Done()

    return Worker


def definition(agents: Sequence[str], strategy: str) -> Mapping[str, Any]:
    """Return a workflow whose steps are calls of these, one after the other, in one pool that they share."""
    steps = [{"id": each, "agent": each, "input": {"seconds": f"input.{each}"}} for each in agents]
    return {"steps": steps, "execution": {"strategy": strategy, "pool": "shared"}}


@asynccontextmanager
async def running(strategy: str, slots: int = SLOTS) -> AsyncIterator[Workflows]:
    workflows = {"turn": definition(list(TURN), strategy), "look": definition(["input"], strategy)}
    pools = {"shared": {"limit": slots, "queue": 100_000}}
    settings = KernelSettings(
        plugins={
            "workflows": PluginSettings(config={"workflows": workflows}),
            "workflows-local": PluginSettings(config={"pools": pools}),
        }
    )
    plugins: dict[str, type[Plugin[Any]]] = {
        "workflows": WorkflowsPlugin, "workflows-local": WorkflowsLocal, "workflows-memory": WorkflowsMemory,
        "agents": AgentsPlugin, "agents-memory": AgentsMemory, **{each: worker(each) for each in TURN},
    }  # fmt: skip
    async with Kernel(settings, plugins=plugins) as kernel:
        yield kernel.get(WORKFLOWS)


async def play(runs: Sequence[SimulatedRun], strategy: str) -> None:
    """Start each run when it is its time, and note in it when it ended."""
    async with running(strategy) as workflows, anyio.create_task_group() as tasks:
        began, epoch = anyio.current_time(), time.time()

        async def one(run: SimulatedRun) -> None:
            work = {agent: seconds * SCALE for agent, seconds in run.steps}
            name = "turn" if len(work) > 1 else "look"
            deadline = epoch + run.deadline * SCALE
            done = await workflows.run(name, work, owner=run.owner, deadline=deadline)
            assert done.status == "done", done
            run.ended = (anyio.current_time() - began) / SCALE

        for run in sorted(runs, key=lambda run: run.begins):
            await anyio.sleep(max(0.0, began + run.begins * SCALE - anyio.current_time()))
            tasks.start_soon(one, run)


def measure() -> Mapping[str, float]:
    """Print the rows, and return what stands in the JSON."""
    logging.disable(logging.CRITICAL)
    return anyio.run(_measure)


async def _measure() -> Mapping[str, float]:
    missed: dict[str, float] = {}
    simulated: dict[str, float] = {}
    for strategy in ("fifo", "deadline"):
        runs = list(turns(random.Random(7), RUNS, SATURATED))
        await play(runs, strategy)
        missed[strategy] = mean(run.missed for run in runs)
        simulated[strategy] = mean(run.missed for run in simulate(_anew(runs), strategy=strategy))
    print(f"\n{RUNS} turns on {SLOTS} slots, at {SATURATED} of what fits: deadlines missed")
    for strategy, share in missed.items():
        print(f"  {strategy:<28} {share:8.1%}   {simulated[strategy]:8.1%} as simulated")
    quiet, flooded = await _others_p95(0), await _others_p95(FLOOD)
    print(f"\nturns of 99 people at {ROOM} of what fits, and {FLOOD} at once of one more: p95 of the others in seconds")
    print(f"  {'without the flood':<28} {quiet:8.2f}\n  {'with it':<28} {flooded:8.2f}")
    alone, together = await _together(1), await _together(AT_ONCE)
    print(f"\n{AT_ONCE} turns of 3 × 1 s at once, where there is room: seconds each")
    print(f"  {'alone':<28} {alone:8.3f}\n  {'together':<28} {together:8.3f}")
    return {
        "miss_ratio_fifo": round(missed["deadline"] / missed["fifo"], 3), "fair_p95": round(flooded / quiet, 3),
        "ratio_hundred_at_once": round(together / alone, 3),
    }  # fmt: skip


def _anew(runs: Sequence[SimulatedRun]) -> list[SimulatedRun]:
    return [SimulatedRun(run.begins, run.steps, run.deadline, run.owner) for run in runs]


async def _others_p95(flood: int) -> float:
    dice = random.Random(11)
    others = list(turns(dice, RUNS // 2, ROOM))
    for run in others:
        run.owner = str(dice.randrange(99))
    flooding = list(turns(dice, flood, 50.0))
    for run in flooding:
        run.owner = "flood"
    await play([*others, *flooding], "deadline")
    return sorted(run.seconds for run in others)[int(0.95 * len(others))]


async def _together(count: int) -> float:
    """Return how long a turn takes of so many that begin together."""
    seconds: list[float] = []
    async with running("deadline", slots=2 * AT_ONCE) as workflows:

        async def one() -> None:
            began = anyio.current_time()
            await workflows.run("turn", dict.fromkeys(TURN, 1.0))
            seconds.append(anyio.current_time() - began)

        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(one)
    return mean(seconds)
