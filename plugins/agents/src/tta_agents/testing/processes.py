"""Several processes in one: kernels that share messages, a registry and replies, all in memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from types import ModuleType
from typing import Any

import anyio
import msgspec

from tta_agents import (
    AGENT_REGISTRY,
    AGENT_REPLIES,
    AGENTS,
    AgentCard,
    AgentId,
    AgentRegistry,
    Agents,
    AgentsPlugin,
    Replies,
)  # fmt: skip
from tta_agents.memory import MemoryRegistry, MemoryReplies
from tta_agents.wire import SIGNALS, Call
from tta_kernel import Event, Kernel, KernelSettings, NoConfig, Plugin, PluginSettings, hookspec
from tta_messages import FAILED, MESSAGES, Failure, MessagesConfig, MessagesError
from tta_messages.memory import MemoryMessages

TYPES: dict[str, type[msgspec.Struct]] = {Call.TYPE: Call, FAILED: Failure, **SIGNALS}
"""The types of messages that agents send."""


class Connection:
    """What one process has of the shared messages.

    ``cut``: nothing goes through any more, as for a process that was killed; ``down``: all is refused;
    ``keeps``: nothing that was sent can be taken back.
    """

    def __init__(self, messages: MemoryMessages) -> None:
        self._messages = messages
        self.cut = self.down = self.keeps = False
        self.refused = anyio.Event()
        """Set once something was refused."""

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            if self.keeps and name == "cancel":
                return False
            if self.down:
                self.refused.set()
                raise MessagesError("connection refused")
            result = None if self.cut else await getattr(self._messages, name)(*args, **kwargs)
            if self.cut:
                await anyio.sleep_forever()
            return result

        return call


@hookspec(timeout=10.0)
async def forget(user: str) -> int:
    """Ask as the sessions do, which may be absent."""
    raise AssertionError


_hookspecs = ModuleType("sessions")
vars(_hookspecs)["forget"] = forget


class _Forgetting(Plugin[NoConfig]):
    hookspecs = _hookspecs


class Processes:
    """Starts processes, each a kernel with the agents plugin, until the stack is closed."""

    def __init__(self, stack: AsyncExitStack, *, clock: Callable[[], float] | None = None, **config: Any) -> None:
        self._stack = stack
        more: dict[str, Any] = {} if clock is None else {"clock": clock}
        self.messages = MemoryMessages(MessagesConfig(**config), TYPES, publish=self._publish, **more)
        self.registry: AgentRegistry = MemoryRegistry()
        self.replies: Replies = MemoryReplies(100)
        self._kernels: list[Kernel] = []

    async def start(self, *, messages: Any = None, replies: Any = None, **config: Any) -> Kernel:
        """Start a process; ``config`` is that of the agents plugin."""
        config = {"auto_register": True, "poll_interval": "50ms", **config}
        services: dict[Any, object] = {
            MESSAGES: messages or self.messages,
            AGENT_REGISTRY: self.registry,
            AGENT_REPLIES: replies or self.replies,
        }
        settings = KernelSettings(plugins={"agents": PluginSettings(config=config)})
        kernel = Kernel(settings, plugins={"agents": AgentsPlugin, "sessions": _Forgetting}, services=services)
        self._kernels.append(kernel)
        return await self._stack.enter_async_context(kernel)

    async def agents(self, **config: Any) -> Agents:
        """Start a process, and return its agents."""
        return (await self.start(**config)).get(AGENTS)

    async def announce(self, id: AgentId) -> None:
        """Enter an agent in the registry of which nobody takes calls."""
        await self.registry.register(AgentCard(id, process="nobody", shared=True))

    def _publish(self, event: Event) -> None:
        # In one process, as of a real store: the one that caused it.
        self._kernels[-1].events.publish(event)
