"""Whoever declares figures gives them, as finite numbers, in the snapshot of a running instance."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

import msgspec
import pytest

from tta_access import AccessMemory, AccessPlugin
from tta_agents import AGENT_REGISTRY, AgentCard, AgentId, AgentsMemory, AgentsPlugin
from tta_agents_redis import AgentsRedis
from tta_audit import AuditFile
from tta_audit_redis import AuditRedis
from tta_breakers import BreakersPlugin
from tta_breakers_redis import BreakersRedis
from tta_crisis import CrisisMemory, CrisisPlugin
from tta_crisis_redis import CrisisRedis
from tta_kernel import Kernel, NoConfig, Plugin, hookimpl
from tta_kernel.hookspecs import figures, snapshot
from tta_kernel.testing import running, wrong_figures
from tta_llm import LlmMemory, LlmPlugin
from tta_llm_redis import LlmRedis
from tta_messages import FAILED, MESSAGES, MessagesMemory, MessagesPlugin
from tta_messages.testing import TYPES, note
from tta_messages_redis import RedisMessagesPlugin
from tta_notify import NotifyMemory, NotifyPlugin
from tta_notify_redis import NotifyRedis
from tta_redis import RedisPlugin
from tta_redis.testing import RedisServer, redis_server
from tta_resources import ResourcesPlugin
from tta_safety import SafetyMemory, SafetyPlugin
from tta_safety_redis import SafetyRedis
from tta_safety_rules import SafetyRules
from tta_schedules import SchedulesLocal, SchedulesPlugin
from tta_schedules.testing import FakeWorkflows
from tta_schedules_redis import SchedulesRedis
from tta_sessions import SESSIONS, Session, SessionConflict, SessionsMemory, SessionsPlugin
from tta_sessions_redis import SessionsRedis
from tta_tool_policy import ToolPolicy
from tta_tools import ToolsMemory, ToolsPlugin
from tta_tools_redis import ToolsRedis
from tta_workflows import WORKFLOWS, WorkflowsLocal, WorkflowsMemory, WorkflowsPlugin
from tta_workflows_redis import WorkflowsRedis
from tta_world import WorldMemory

MEMORY: dict[str, type[Plugin[Any]]] = {
    "crisis": CrisisPlugin, "crisis-memory": CrisisMemory,
    "sessions-memory": SessionsMemory, "messages-memory": MessagesMemory, "access": AccessPlugin,
    "access-memory": AccessMemory, "audit-file": AuditFile, "workflows": WorkflowsPlugin,
    "workflows-local": WorkflowsLocal, "workflows-memory": WorkflowsMemory, "agents-memory": AgentsMemory,
    "agents": AgentsPlugin, "safety": SafetyPlugin, "safety-rules": SafetyRules, "notify": NotifyPlugin,
    "notify-memory": NotifyMemory, "safety-memory": SafetyMemory, "tool-policy": ToolPolicy,
    "tools": ToolsPlugin, "tools-memory": ToolsMemory, "llm": LlmPlugin, "llm-memory": LlmMemory,
    "world-memory": WorldMemory, "resources": ResourcesPlugin,
}  # fmt: skip
REDIS: dict[str, type[Plugin[Any]]] = {
    "crisis": CrisisPlugin, "crisis-redis": CrisisRedis,
    "redis": RedisPlugin, "sessions-redis": SessionsRedis, "messages-redis": RedisMessagesPlugin,
    "agents-redis": AgentsRedis, "agents": AgentsPlugin, "workflows-redis": WorkflowsRedis,
    "breakers": BreakersPlugin, "audit-redis": AuditRedis, "breakers-redis": BreakersRedis,
    "schedules": SchedulesPlugin, "schedules-local": SchedulesLocal, "schedules-redis": SchedulesRedis,
    "notify": NotifyPlugin, "notify-redis": NotifyRedis, "safety": SafetyPlugin, "safety-redis": SafetyRedis,
    "tools": ToolsPlugin, "tools-redis": ToolsRedis, "llm": LlmPlugin, "llm-redis": LlmRedis,
}  # fmt: skip


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as found:
        yield found


def kernel(server: RedisServer, backends: dict[str, type[Plugin[Any]]]) -> Kernel:
    vocabulary: dict[str, type[Plugin[Any]]] = {"sessions": SessionsPlugin, "messages": MessagesPlugin}
    configs = {"redis": msgspec.to_builtins(server.config())} if backends is REDIS else {}
    configs["notify"] = {"need_humans": False}
    configs["crisis"] = {"need_durable": False}
    services = {WORKFLOWS: FakeWorkflows(time.time)} if backends is REDIS else {}
    return running(vocabulary, declaring(), backends, configs=configs, services=services)


def declaring() -> dict[str, type[Plugin[Any]]]:
    class Types(Plugin[NoConfig]):
        @hookimpl
        def message_types(self) -> Any:
            return {name: type for name, type in TYPES.items() if name != FAILED}

    return {"types": Types}


@pytest.mark.parametrize("backends", [MEMORY, REDIS], ids=["memory", "redis"])
async def test_each_declared_figure_is_a_number_in_the_snapshot(
    server: RedisServer, backends: dict[str, type[Plugin[Any]]]
) -> None:
    async with kernel(server, backends) as k:
        sessions, messages = k.get(SESSIONS), k.get(MESSAGES)
        await sessions.commit(Session("s"))
        with pytest.raises(SessionConflict):
            await sessions.commit(Session("s"))
        await messages.send(note("a"), note("b"))
        await messages.receive("q")
        assert await wrong_figures(k) == []
        seen: dict[str, Any] = {}
        for answer in (await k.ask(snapshot)).values():
            assert not isinstance(answer, Exception)
            seen |= answer
    assert (seen["sessions.commits"], seen["sessions.conflicts"]) == (1, 1)
    assert (seen["messages.waiting"]["q"], seen["messages.held"]["q"], seen["messages.sent"]["q"]) == (1, 1, 2)
    assert seen["queues"]["q"]["sent"] == 2


async def test_the_figures_of_redis_and_of_the_registry_move(server: RedisServer) -> None:
    async with kernel(server, REDIS) as k:
        answers: Any = await k.ask(snapshot)
        before, served = answers["redis"], answers["agents-redis"]["agents.registered"]["local"]
        await k.get(AGENT_REGISTRY).register(AgentCard(AgentId("a", "1"), process="p", shared=True))
        after = await k.ask(snapshot)
    redis: Any = after["redis"]
    agents: Any = after["agents-redis"]
    assert redis["redis.calls"] > before["redis.calls"]
    assert redis["redis.connections"] >= 1
    assert agents["agents.registered"]["local"] == served + 1


def test_every_installed_plugin_with_figures_is_tried_here() -> None:
    names = {entry.name for entry in entry_points(group="tta.plugins") if hasattr(entry.load(), figures.__name__)}
    # Its own tests ask that one, beside a server of its kind.
    assert names - {"world-neo4j"} <= MEMORY.keys() | REDIS.keys()
    assert {"redis", "messages-redis", "sessions-memory"} <= names
