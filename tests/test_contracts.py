"""Every capability's contract, once per backend, each opened the way a deployment has it: by its plugin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from tta_agents import AGENT_REGISTRY, AgentRegistry, AgentsMemory
from tta_agents.testing import AgentRegistryContract
from tta_kernel import Context, Event, Kernel, KernelSettings, NoConfig, Plugin, PluginSettings, hookimpl
from tta_messages import MESSAGES, Messages, MessagesConfig, MessagesMemory, MessagesPlugin
from tta_messages.testing import TYPES, MessagesContract, Open
from tta_sessions import SESSIONS, Sessions, SessionsMemory, SessionsPlugin
from tta_sessions.testing import SessionsContract


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class TestSessionsMemory(SessionsContract):
    @pytest.fixture
    async def sessions(self) -> AsyncIterator[Sessions]:
        async with Kernel(plugins={"sessions": SessionsPlugin, "sessions-memory": SessionsMemory}) as kernel:
            yield kernel.get(SESSIONS)


class TestAgentsMemory(AgentRegistryContract):
    @pytest.fixture
    async def registry(self) -> AsyncIterator[AgentRegistry]:
        async with Kernel(plugins={"agents-memory": AgentsMemory}) as kernel:
            yield kernel.get(AGENT_REGISTRY)


class TestMessagesMemory(MessagesContract):
    @pytest.fixture
    def messages(self) -> Open:
        return open_messages


DEFAULT = MessagesConfig()


@asynccontextmanager
async def open_messages(
    config: MessagesConfig = DEFAULT,
    *,
    types: Mapping[str, type[msgspec.Struct]] = TYPES,
    publish: Callable[[Event], None] = lambda event: None,
) -> AsyncIterator[Messages]:
    async def tell(event: Event) -> None:
        publish(event)

    class Around(Plugin[NoConfig]):
        """Declares the types, and tells what is published."""

        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            ctx.on(Event, tell)
            yield

        @hookimpl
        def message_types(self) -> Mapping[str, type[msgspec.Struct]]:
            return types

    plugins: dict[str, type[Plugin[Any]]] = {
        "messages": MessagesPlugin, "messages-memory": MessagesMemory, "around": Around,
    }  # fmt: skip
    settings = KernelSettings(plugins={"messages-memory": PluginSettings(config=msgspec.to_builtins(config))})
    async with Kernel(settings, plugins=plugins) as kernel:
        yield kernel.get(MESSAGES)
