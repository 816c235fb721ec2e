from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tta_agents import AGENT_REGISTRY, AGENT_REPLIES, AGENTS, AgentRegistry, AgentsMemory, AgentsPlugin, Replies
from tta_agents.memory import MemoryRegistry, MemoryReplies
from tta_agents.testing import AgentsContract, Deployment, RepliesContract
from tta_agents.wire import SIGNALS, Call
from tta_kernel import Kernel, KernelSettings, PluginSettings
from tta_messages import MESSAGES, Messages, MessagesConfig
from tta_messages.memory import MemoryMessages


def memory_messages(**config: Any) -> MemoryMessages:
    return MemoryMessages(MessagesConfig(**config), {Call.TYPE: Call, **SIGNALS})


@asynccontextmanager
async def process(
    messages: Messages, registry: AgentRegistry, replies: Replies, **config: Any
) -> AsyncIterator[Kernel]:
    """Run what stands for one process of several: it shares nothing with others but these three."""
    settings = KernelSettings(plugins={"agents": PluginSettings(config={"auto_register": True, **config})})
    services: dict[Any, object] = {MESSAGES: messages, AGENT_REGISTRY: registry, AGENT_REPLIES: replies}
    async with Kernel(settings, plugins={"agents": AgentsPlugin}, services=services) as kernel:
        yield kernel


class TestWithinOneProcess(AgentsContract):
    @pytest.fixture
    async def deployment(self) -> AsyncIterator[Deployment]:
        async with Kernel(plugins={"agents": AgentsPlugin, "agents-memory": AgentsMemory}) as kernel:
            agents = kernel.get(AGENTS)
            yield Deployment(agents, [agents])


class TestAcrossKernels(AgentsContract):
    @pytest.fixture
    async def deployment(self) -> AsyncIterator[Deployment]:
        shared = memory_messages(), MemoryRegistry(), MemoryReplies(100)
        async with AsyncExitStack() as stack:
            kernels = [await stack.enter_async_context(process(*shared)) for _ in range(3)]
            calling, *serving = [kernel.get(AGENTS) for kernel in kernels]
            yield Deployment(calling, serving)


class TestMemoryReplies(RepliesContract):
    @pytest.fixture
    def replies(self) -> MemoryReplies:
        return MemoryReplies(100)
