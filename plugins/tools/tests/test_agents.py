"""An agent that acts through tools: what its workflow sees of their errors, and a run that waits for a human."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
from msgspec import Struct

from tta_agents import AGENTS, AgentError, AgentId, AgentPlugin, AgentsMemory, AgentSpec, AgentsPlugin, StepContext
from tta_http import Principal
from tta_kernel import Context, Kernel, NoConfig, Plugin, hookimpl
from tta_kernel.testing import published
from tta_tool_policy import Decision
from tta_tools import TOOLS, Tool, ToolApprovalAsked, ToolError, Tools
from tta_tools.testing import FakePolicy, deployment
from tta_workflows import WORKFLOWS, Workflow, WorkflowsLocal, WorkflowsMemory, WorkflowsPlugin
from tta_workflows.testing import workflow


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class In(Struct, frozen=True):
    to: str


class Out(Struct, frozen=True):
    sent: bool
    approval: str = ""


class Letters(AgentPlugin[NoConfig]):
    """Sends letters through a tool, if a human agrees."""

    spec = AgentSpec(type="letters", description="Sends letters.", input=In, output=Out)
    requires: ClassVar[Any] = (*AgentPlugin.requires, TOOLS)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._tools: Tools = ctx.get(TOOLS)
        async with super().lifespan(ctx):
            yield

    async def process(self, request: In, ctx: StepContext) -> Out:
        try:
            await self._tools.run(
                "letter.send", {"to": request.to}, key=ctx.key, session=ctx.session, owner=ctx.owner, agent="letters",
                principal=Principal("letters", "agent"),
            )  # fmt: skip
        except ToolError as exc:
            if exc.code != "approval_required":
                raise
            return Out(sent=False, approval=exc.approval)
        return Out(sent=True)


POSTED = workflow(
    {"id": "post", "agent": "letters", "input": {"to": "input.to"}},
    {"id": "post_approval", "signal": "human", "when": "steps.post.approval != ''", "timeout": 60},
    {"id": "again", "agent": "letters", "when": "steps.post_approval.approved", "input": {"to": "input.to"}},
    output={"sent": "steps.again.sent"},
)


class Posting(Plugin[NoConfig]):
    @hookimpl
    def workflow_definitions(self) -> Mapping[str, Workflow]:
        return {"posted": POSTED}


PLUGINS: Mapping[str, type[Plugin[Any]]] = {
    "agents": AgentsPlugin, "agents-memory": AgentsMemory, "workflows": WorkflowsPlugin, "posting": Posting,
    "workflows-local": WorkflowsLocal, "workflows-memory": WorkflowsMemory, "letters": Letters,
}  # fmt: skip


def posting(policy: FakePolicy, sent: list[str]) -> Kernel:
    async def send(to: str) -> None:
        """Send a letter."""
        sent.append(to)
        if to == "nobody":
            raise ValueError("a secret")

    tool = Tool.of(send, name="letter.send", version="1.0.0", safety_flags=["network"])
    return deployment(tool, policy=policy, more=PLUGINS, tools={"poll": 0.02})


async def test_a_run_waits_for_the_human_who_approves_a_call_and_makes_it_then() -> None:
    sent: list[str] = []
    policy = FakePolicy(lambda call: Decision(effect="ask", rule="letters", reason="", policy=""))
    async with posting(policy, sent) as kernel:
        with published(kernel, ToolApprovalAsked) as events:
            handle = await kernel.get(WORKFLOWS).start("posted", {"to": "bert"}, key="r:1", session="s-1", owner="anna")
            asked = await events.next()
        assert (asked.session, asked.owner, asked.agent, sent) == ("s-1", "anna", "letters", [])
        await kernel.get(TOOLS).decide(asked.approval, approved=True, by="dr b")
        run = await handle.result()
        assert (run.status, run.output) == ("done", {"sent": True})
    assert sent == ["bert"]


@pytest.mark.parametrize(
    ("effect", "to", "code", "retryable"), [("deny", "bert", "denied", False), ("allow", "nobody", "failed", False)]
)
async def test_an_agent_that_lets_an_error_through_has_failed_with_it(
    effect: Any,
    to: str,
    code: str,
    retryable: bool,
) -> None:
    policy = FakePolicy(lambda call: Decision(effect=effect, rule="r", reason="because", policy=""))
    async with posting(policy, []) as kernel:
        with pytest.raises(AgentError) as caught:
            await kernel.get(AGENTS).call(AgentId("letters"), In(to), key="k")
    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    assert "secret" not in f"{caught.value} {caught.value.detail}"
