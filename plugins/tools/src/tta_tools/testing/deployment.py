"""A deployment with tools in one process, and a policy that a test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from tta_http import HttpPlugin
from tta_kernel import Kernel, NoConfig, Plugin, Problem, hookimpl
from tta_kernel.testing import running
from tta_safety import SafetyPlugin
from tta_sessions import SessionsMemory, SessionsPlugin
from tta_tool_policy import POLICY, Decision, Explanation, PolicyStatus, Reloaded, ToolCall
from tta_tools.declaring import Tool
from tta_tools.plugin import ToolsMemory, ToolsPlugin

Decide = Callable[[ToolCall], Decision]
PLUGINS: dict[str, type[Plugin[Any]]] = {
    "tools": ToolsPlugin, "tools-memory": ToolsMemory, "http": HttpPlugin, "safety": SafetyPlugin,
    "sessions": SessionsPlugin, "sessions-memory": SessionsMemory,
}  # fmt: skip


def allow(call: ToolCall) -> Decision:
    """Allow every call."""
    return Decision(effect="allow", rule="all", reason="a test", policy="0f")


class FakePolicy:
    """A policy that decides as a function does, and remembers the calls."""

    def __init__(self, decide: Decide = allow, *, flags: bool = False) -> None:
        self.calls: list[ToolCall] = []
        self.says = decide
        self._flags = flags

    async def decide(self, call: ToolCall) -> Decision:
        self.calls.append(call)
        return self.says(call)

    def reads_flags(self, tool: str, version: str) -> bool:
        return self._flags

    def explain(self, call: ToolCall) -> Explanation:
        return Explanation(decision=self.says(call), rules=())

    def status(self) -> PolicyStatus:
        return PolicyStatus(source="a test", hash="0f", since=0.0, rules=1, watching=False)

    async def reload(self) -> Reloaded:
        return Reloaded(at=0.0, source="a test", hash="0f", ok=True)

    def redacted(self) -> Mapping[str, Any]:
        return {}

    async def validate(self, text: str, format: Literal["yaml", "json"] = "yaml") -> Sequence[Problem]:
        return ()


def deployment(
    *tools: Tool, policy: FakePolicy | None = None, more: Mapping[str, type[Plugin[Any]]] | None = None,
    without: Sequence[str] = (), services: Mapping[Any, Any] | None = None, **config: Any,
) -> Kernel:  # fmt: skip
    """Make a kernel with these tools, under a policy that allows all, if no other is given."""

    class Bringing(Plugin[NoConfig]):
        @hookimpl
        def tools(self) -> Sequence[Tool]:
            return tools

    plugins = {name: plugin for name, plugin in PLUGINS.items() if name not in without}
    given = {POLICY: policy or FakePolicy(), **(services or {})}
    return running(plugins, {"bringing": Bringing}, more or {}, services=given, configs=config)
