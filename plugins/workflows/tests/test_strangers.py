"""Agents, checks and stores that misbehave: their run ends, and the others go on."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import msgspec
import pytest

from tta_agents import AgentPlugin, AgentsMemory, AgentSpec, AgentsPlugin, Reply, StepContext
from tta_kernel import KernelSettings, NoConfig, Plugin, hookimpl
from tta_kernel.testing import LIMIT, Outcome, Stranger, logged, running, strangers
from tta_program import Subcommands
from tta_workflows import (
    JOURNAL,
    WORKFLOWS,
    Finding,
    RunSummary,
    WorkflowsLocal,
    WorkflowsMemory,
    WorkflowsPlugin,
    commands,
)  # fmt: skip
from tta_workflows.journal import Commit, Lease, RunHead
from tta_workflows.memory import MemoryJournal
from tta_workflows.testing import Call, FakeAgents, Processes, echo, workflow


class Ask(msgspec.Struct, frozen=True):
    text: str


STEP = {"id": "a", "agent": "odd", "input": {"text": "input.text"}}
WELL = workflow({**STEP, "agent": "echo"})


@pytest.fixture
def processes() -> Processes:
    return Processes(MemoryJournal(time.time), FakeAgents({"echo": echo}))


@pytest.mark.boundary("tta_agents.Agents")
@pytest.mark.parametrize("branches", [False, True], ids=["alone", "among others"])
@pytest.mark.parametrize("stranger", strangers(returns=Reply), ids=str)
async def test_whatever_other_agents_do_their_run_ends_and_the_next_one_is_done(
    processes: Processes, stranger: Stranger, *, branches: bool
) -> None:
    class Odd(FakeAgents):
        async def call(self, agent: Any, *args: Any, **how: Any) -> Reply:
            return await (stranger() if agent.type == "odd" else super().call(agent, *args, **how))

    processes.agents = Odd({"echo": echo})
    limit = LIMIT if stranger.outcome is Outcome.TIME_LIMIT else 5.0
    steps = [STEP, {**STEP, "id": "b", "needs": []}] if branches else [STEP]
    definitions = {"odd": workflow(*steps, timeout=limit), "well": WELL}
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            async with processes.running(None, **definitions) as workflows:
                await workflows.run("odd", {"text": "hi"})
        return
    async with processes.running(None, **definitions) as workflows:
        odd = await workflows.run("odd", {"text": "hi"})
        well = await workflows.run("well", {"text": "hi"})
    assert well.status == "done"
    # Of a reply only its output is read, which may be anything.
    if stranger.outcome is Outcome.FAILURE and not stranger.name.endswith("within"):
        assert odd.status == "failed"
    if stranger.name == "never returns":
        assert (odd.status, odd.error) == ("failed", "timeout")


@pytest.mark.boundary("tta_workflows.check_output")
@pytest.mark.parametrize("stranger", strangers("plain", returns=Sequence[str]), ids=str)
async def test_an_output_passes_no_check_that_misbehaves(stranger: Stranger) -> None:
    class Echo(AgentPlugin[NoConfig]):
        spec = AgentSpec("echo", "says it again", Ask, Ask)

        async def process(self, request: Ask, ctx: StepContext, /) -> Ask:
            return request

    class Checker(Plugin[NoConfig]):
        @hookimpl
        def check_output(self, workflow: str, step: str, output: Mapping[str, Any]) -> Any:
            return stranger()

    plugins = (WorkflowsPlugin, WorkflowsLocal, WorkflowsMemory, AgentsPlugin, AgentsMemory, Echo, Checker)

    async def run() -> Any:
        with logged():
            async with running(*plugins, config={"workflows": {"w": {"steps": [{**STEP, "agent": "echo"}]}}}) as kernel:
                return await kernel.get(WORKFLOWS).run("w", {"text": "hi"})

    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            await run()
        return
    done = await run()
    if stranger.outcome is Outcome.FAILURE:
        assert (done.status, done.error) == ("failed", "bad_output")


@pytest.mark.boundary("tta_workflows.Journal")
@pytest.mark.parametrize("stranger", strangers(returns=int), ids=str)
async def test_whatever_a_journal_does_with_one_run_the_others_go_on(processes: Processes, stranger: Stranger) -> None:
    class Odd(MemoryJournal):
        async def commit(self, lease: Lease, commit: Commit) -> int:
            return await (stranger() if commit.run == "odd" else super().commit(lease, commit))

    processes.journal = Odd(time.time)
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            async with processes.running(w=WELL) as workflows:
                await workflows.run("w", {"text": "hi"}, key="odd")
        return
    async with processes.running(w=WELL) as workflows:
        odd = await workflows.start("w", {"text": "hi"}, key="odd")
        well = await workflows.run("w", {"text": "hi"}, key="well")
        if stranger.outcome is Outcome.FAILURE:
            assert (await odd.result()).status == "set-aside"
    assert well.status == "done"


async def test_a_call_that_is_late_and_deaf_holds_up_nobody_else(processes: Processes) -> None:
    begun, go = anyio.Event(), anyio.Event()

    async def deaf(call: Call) -> Mapping[str, Any]:
        begun.set()
        with anyio.CancelScope(shield=True):
            await go.wait()
        return call.request

    processes.agents.work["odd"] = deaf
    async with processes.running(odd=workflow(STEP, timeout=0.05), well=WELL) as workflows:
        handle = await workflows.start("odd", {"text": "hi"})
        await begun.wait()
        assert (await workflows.run("well", {"text": "hi"})).status == "done"
        go.set()
        assert (await handle.result()).over


@pytest.mark.boundary("tta_workflows.reconcile_runs")
@pytest.mark.parametrize("stranger", strangers("async", returns=Sequence[Finding]), ids=str)
async def test_whatever_a_plugin_says_of_runs_others_are_heard(
    stranger: Stranger, capsys: pytest.CaptureFixture[str]
) -> None:
    class Odd(Plugin[NoConfig]):
        @hookimpl(optionalhook=True)
        async def reconcile_runs(self, runs: Sequence[RunSummary]) -> Sequence[Finding]:
            return await stranger()  # type: ignore[no-any-return]

    class Knows(Plugin[NoConfig]):
        @hookimpl(optionalhook=True)
        async def reconcile_runs(self, runs: Sequence[RunSummary]) -> Sequence[Finding]:
            return [Finding(run.id, "orphan", "nobody waits for it", "cancel") for run in runs]

    journal = Shared(time.time)
    await journal.create(await journal.join("p", 60.0), RunHead("r", "w", "d", 1.0))
    parser = argparse.ArgumentParser(prog="tta")
    commands.add(Subcommands(parser))
    options = parser.parse_args(["runs", "reconcile", "--json"])
    settings = KernelSettings(hook_timeouts={"reconcile_runs": LIMIT})
    plugins = (WorkflowsPlugin, AgentsPlugin, AgentsMemory, {"odd": Odd, "knows": Knows})
    kernel = running(*plugins, settings=settings, services={JOURNAL: journal})
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            async with kernel:
                await options.command.run(kernel, options)
        return
    async with kernel:
        assert await options.command.run(kernel, options) == 1
    told = capsys.readouterr()
    assert {"run": "r", "code": "orphan"}.items() <= msgspec.json.decode(told.out)[-1].items()
    if stranger.outcome in (Outcome.FAILURE, Outcome.TIME_LIMIT):
        assert told.err.startswith("tta runs: odd: ")


class Shared(MemoryJournal):
    """Stands for a journal that another process could see, too."""

    durable = True
