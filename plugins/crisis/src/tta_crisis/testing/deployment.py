"""What tests of crises are made of: a deployment in one process, and a store and humans that a test can break."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import anyio

from tta_agents import AgentsMemory, AgentsPlugin
from tta_crisis.model import Disclosure, Exchange
from tta_crisis.plugin import CrisisMemory, CrisisPlugin
from tta_kernel import Kernel, Plugin
from tta_kernel.testing import running
from tta_notify import NotifyMemory, NotifyPlugin
from tta_safety import Finding, Verdict
from tta_sessions import SessionsMemory, SessionsPlugin
from tta_workflows import WorkflowsLocal, WorkflowsMemory, WorkflowsPlugin

T = TypeVar("T")
PLUGINS: dict[str, type[Plugin[Any]]] = {
    "agents": AgentsPlugin, "agents-memory": AgentsMemory, "sessions": SessionsPlugin,
    "sessions-memory": SessionsMemory, "workflows": WorkflowsPlugin, "workflows-local": WorkflowsLocal,
    "workflows-memory": WorkflowsMemory, "notify": NotifyPlugin, "notify-memory": NotifyMemory,
    "crisis": CrisisPlugin, "crisis-memory": CrisisMemory,
}  # fmt: skip


def deployment(
    *without: str, services: Any = None, more: Mapping[str, type[Plugin[Any]]] | None = None, **config: Any
) -> Kernel:  # fmt: skip
    """Make a kernel with all that crises need, ``without`` some plugins of it and with ``more``."""
    plugins = {name: plugin for name, plugin in PLUGINS.items() if name not in without}
    configs = {"notify": {"need_humans": False}, "crisis": {"need_durable": False}, **config}
    return running(plugins, more or {}, services=services or {}, configs=configs)


def finding(kind: str = "suicide", severity: int = 4, **more: Any) -> Finding:
    """Make a finding about the person themselves."""
    return Finding(
        rule=f"{kind}@1", category=kind, level="blocked", severity=severity, subject="self", span=(0, 3), **more
    )  # fmt: skip


def disclosure(admission: str = "r-1", *findings: Finding, **more: Any) -> Disclosure:
    """Make a disclosure of the kinds that the findings are of; without any of suicide, with intent."""
    found = findings or (finding(),)
    kinds = tuple(dict.fromkeys(each.category for each in found))
    fields: dict[str, Any] = {
        "session": "s-1", "user": "anna", "turn": 3,
        "turns": (Exchange(2, "I go north with Bert", "You go."), Exchange(3, "call me on 0151 2345", "")), **more,
    }  # fmt: skip
    verdict = Verdict("checked", "blocked", 0.9, kinds, findings=found)
    return Disclosure(admission=admission, verdict=verdict, **fields)


async def until(holds: Callable[[], Awaitable[T | None]], limit: float = 20.0) -> T:
    """Wait until something is there, and return it."""
    with anyio.fail_after(limit):
        while True:
            if found := await holds():
                return found
            await anyio.sleep(0.005)
