"""Two processes whose policies differ, as they do while a change goes from one to the next: each keeps to its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tta_http import HttpPlugin, Principal
from tta_kernel import Kernel, NoConfig, Plugin, hookimpl
from tta_kernel.testing import running
from tta_safety import SafetyPlugin
from tta_sessions import SessionsMemory, SessionsPlugin
from tta_tool_policy import POLICY, ToolPolicy
from tta_tools import TOOL_STORE, TOOLS, MemoryToolStore, Tool, ToolError, ToolsPlugin

CI = Principal("ci", "key")
EFFECTS = ("allow", "ask", "deny")
PLUGINS: dict[str, type[Plugin[Any]]] = {
    "tool-policy": ToolPolicy, "tools": ToolsPlugin, "http": HttpPlugin, "safety": SafetyPlugin,
    "sessions": SessionsPlugin, "sessions-memory": SessionsMemory,
}  # fmt: skip


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def policy(effect: str) -> str:
    return f"version: 1\nrules:\n  - {{id: said, effect: {effect}, tools: ['*']}}\n...\n"


def process(file: Path, store: MemoryToolStore) -> Kernel:
    """Make what two processes have of their own; the store is the one that both have."""

    async def add(a: int) -> int:
        """Add one."""
        return a + 1

    class Bringing(Plugin[NoConfig]):
        @hookimpl
        def tools(self) -> list[Tool]:
            return [Tool.of(add, name="math.add", version="1.0.0", description="Add one.")]

    configs = {"tool-policy": {"file": str(file)}}
    return running(PLUGINS, {"bringing": Bringing}, configs=configs, services={TOOL_STORE: store})


async def outcome(kernel: Kernel) -> tuple[str, str]:
    """Return what a call comes to, and the id of what must be approved for it."""
    try:
        result = await kernel.get(TOOLS).run("math.add", {"a": 1}, principal=CI)
    except ToolError as exc:
        return exc.code, exc.approval
    return f"allow {result.value}", ""


SAID = {"allow": "allow 2", "ask": "approval_required", "deny": "denied"}


@pytest.mark.parametrize("after", EFFECTS)
@pytest.mark.parametrize("before", EFFECTS)
async def test_each_process_keeps_to_the_policy_that_it_has(before: str, after: str, tmp_path: Path) -> None:
    file, store = tmp_path / "policy.yaml", MemoryToolStore(lambda: 1_790_000_000.0)
    file.write_text(policy(before))
    async with process(file, store) as old, process(file, store) as new:
        assert old.get(POLICY).status().hash == new.get(POLICY).status().hash
        file.write_text(policy(after))
        assert (await new.get(POLICY).reload()).ok
        assert [(await outcome(kernel))[0] for kernel in (old, new)] == [SAID[before], SAID[after]]
        assert (old.get(POLICY).status().hash == new.get(POLICY).status().hash) == (before == after)
        assert (await old.get(POLICY).reload()).ok
        assert (await outcome(old))[0] == SAID[after]


@pytest.mark.parametrize("after", EFFECTS)
async def test_leave_that_was_given_under_one_policy_opens_nothing_that_another_denies(
    after: str, tmp_path: Path
) -> None:
    one, two, store = tmp_path / "one.yaml", tmp_path / "two.yaml", MemoryToolStore(lambda: 1_790_000_000.0)
    one.write_text(policy("ask"))
    two.write_text(policy(after))
    async with process(one, store) as old, process(two, store) as new:
        code, approval = await outcome(old)
        assert code == "approval_required"
        await old.get(TOOLS).decide(approval, approved=True, by="dr b")
        # What was asked for is approved, once; what needs no leave takes none.
        assert (await outcome(new))[0] == ("denied" if after == "deny" else "allow 2")
        assert (await outcome(old))[0] == ("approval_required" if after == "ask" else "allow 2")
