"""Runs over HTTP: listed, shown without what was said, and acted upon."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from tta_agents import AGENTS, AgentError, AgentsMemory, AgentSpec, AgentsPlugin, StepContext
from tta_http import HttpPlugin, HttpProblem, Principal
from tta_http.testing import EVERYTHING, Caller
from tta_kernel import Context, Kernel, NoConfig, Plugin, PluginSettings, hookimpl
from tta_program import LayeredSettings
from tta_workflows import WORKFLOWS, WorkflowsLocal, WorkflowsMemory, WorkflowsPlugin

READER = Principal("reader", "key", permissions=EVERYTHING.permissions | {"text:read"})


class Said(msgspec.Struct, frozen=True):
    text: str


class Say:
    """Says again what it is told, fails, or goes on and on."""

    spec = AgentSpec("say", "says", Said, Said)

    async def process(self, request: Said, ctx: StepContext, /) -> Said:
        if request.text == "fail":
            raise AgentError("tired")
        if request.text == "sleep":
            await anyio.sleep_forever()
        return request


class Says(Plugin[NoConfig]):
    requires = (AGENTS,)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        async with ctx.get(AGENTS).serve(Say()):
            yield

    @hookimpl
    def agents(self) -> list[AgentSpec]:
        return [Say.spec]


PLUGINS: dict[str, Any] = {
    "http": HttpPlugin,
    "agents": AgentsPlugin,
    "agents-memory": AgentsMemory,
    "workflows": WorkflowsPlugin,
    "workflows-local": WorkflowsLocal,
    "workflows-memory": WorkflowsMemory,
    "says": Says,
}
SAY = {"steps": [{"id": "a", "agent": "say", "input": {"text": "input.text"}}], "output": {"text": "steps.a.text"}}


@pytest.fixture
async def kernel() -> AsyncIterator[Kernel]:
    """Run a deployment in which run "one" is done, "two" has failed, and "three" goes on."""
    settings = LayeredSettings(plugins={"workflows": PluginSettings(config={"workflows": {"say": SAY}})})
    async with Kernel(settings, plugins=PLUGINS) as kernel:
        workflows = kernel.get(WORKFLOWS)
        await workflows.run("say", {"text": "SECRET"}, key="one", session="s-1", owner="anna")
        await workflows.run("say", {"text": "fail"}, key="two")
        await workflows.start("say", {"text": "sleep"}, key="three")
        yield kernel


async def test_definitions_are_listed(kernel: Kernel) -> None:
    answer = await Caller(kernel.hooks).get("/workflows")

    assert [(each["name"], each["steps"]) for each in answer["items"]] == [("say", 1)]


async def test_runs_are_listed_the_newest_first_a_page_at_a_time(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks)
    first = await caller.get("/runs?limit=2")
    second = await caller.get(f"/runs?limit=2&cursor={first['next']}")
    failed = await caller.get("/runs?status=failed")

    assert [each["id"] for each in first["items"] + second["items"]] == ["three", "two", "one"]
    assert second["next"] is None
    assert [each["id"] for each in failed["items"]] == ["two"]
    with pytest.raises(HttpProblem, match="not-found"):
        await caller.get("/runs?cursor=ff00")


async def test_a_run_is_shown_without_what_was_said(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks)
    run = await caller.get("/runs/one")
    history = await caller.get("/runs/one/history")

    assert (run["status"], run["percent"], run["session"], run["owner"]) == ("done", 100, "s-1", "anna")
    assert (run["output_sizes"], run["output"]) == ({"text": 7}, None)
    assert [each["kind"] for each in history["records"]][:2] == ["started", "done"]
    assert "SECRET" not in str((run, history))


async def test_what_was_said_is_shown_to_those_who_may_read_it(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks, READER)

    assert (await caller.get("/runs/one?text=true"))["output"] == {"text": "SECRET"}
    assert "SECRET" in str(await caller.get("/runs/one/history?text=true"))
    with pytest.raises(HttpProblem, match="forbidden"):
        await Caller(kernel.hooks).get("/runs/one?text=true")


async def test_a_run_is_paused_resumed_and_cancelled(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks)
    for deed, becomes in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        assert (await caller.post(f"/runs/three/{deed}"))["status"] == "accepted"
        with anyio.fail_after(10):
            while [each["id"] for each in (await caller.get(f"/runs?status={becomes}"))["items"]] != ["three"]:
                await anyio.lowlevel.checkpoint()
    with pytest.raises(HttpProblem, match="conflict"):
        await caller.post("/runs/three/pause")


async def test_a_run_is_taken_back_and_that_is_shown(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks)
    assert (await caller.post("/runs/one/rollback"))["status"] == "accepted"
    handle = await kernel.get(WORKFLOWS).find("one")
    assert handle is not None
    with anyio.fail_after(10):
        await handle.result()
        while not any(each["kind"] == "rolledback" for each in (await rollbacks(caller))):
            await anyio.lowlevel.checkpoint()

    assert [each["kind"] for each in await rollbacks(caller)] == ["asked", "rolledback"]


async def rollbacks(caller: Caller) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await caller.get("/runs/one/rollback-history"))["records"]
    return found


@pytest.mark.parametrize("deed", ["cancel", "pause", "resume", "retry", "rollback"])
async def test_a_run_that_is_not_there_is_not_found(kernel: Kernel, deed: str) -> None:
    caller = Caller(kernel.hooks)
    with pytest.raises(HttpProblem, match="not-found"):
        await caller.post(f"/runs/nobody/{deed}")
    with pytest.raises(HttpProblem, match="not-found"):
        await caller.get("/runs/nobody")
    with pytest.raises(HttpProblem, match="not-found"):
        await caller.get("/runs/nobody/history")


async def test_an_answer_that_nobody_waits_for_is_refused_without_what_it_says(kernel: Kernel) -> None:
    with pytest.raises(HttpProblem, match="conflict") as caught:
        await Caller(kernel.hooks).post("/runs/three/signal", {"step": "a", "data": {"text": "SECRET"}})

    assert "SECRET" not in str(caught.value.details())
