"""An agent that does what a test says, and where tests find it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import anyio
import msgspec
import pytest

from tta_agents.capabilities import Capability
from tta_agents.model import AgentError, AgentId, Agents, AgentSpec, Reply, StepContext

ECHO = AgentId("echo")
PATIENCE = 20.0


class Ask(msgspec.Struct, frozen=True):
    """A request."""

    text: str
    times: int = 1


class Answer(msgspec.Struct, frozen=True):
    """An answer."""

    text: str
    parts: tuple[str, ...] = ()


Work = Callable[[Ask, StepContext], Awaitable[Any]]


class Echo:
    """An agent that does what a test says, and remembers what it was asked."""

    def __init__(self, work: Work | None = None, *, timeout: float = 10.0, type: str = "echo") -> None:
        self.spec = AgentSpec(type, "says it again", Ask, Answer, (Capability("echo"),), timeout)
        self.work, self.requests = work, list[Ask]()
        self.begun = anyio.Event()

    async def process(self, request: Ask, ctx: StepContext, /) -> Any:
        self.requests.append(request)
        await anyio.lowlevel.checkpoint()
        self.begun.set()
        return await self.work(request, ctx) if self.work else Answer(request.text * request.times, (request.text,))


class Deployment(NamedTuple):
    """Where the tests call from, and where they serve: both may be one."""

    calling: Agents
    serving: Sequence[Agents]


async def code_of(agents: Agents, request: Any, to: AgentId = ECHO, key: str = "k") -> AgentError:
    """Return the error that a call comes to."""
    with anyio.fail_after(PATIENCE), pytest.raises(AgentError) as caught:
        await agents.call(to, request, key=key)
    return caught.value


async def stream(text: str, ctx: StepContext) -> Answer:
    """Emit a text letter by letter."""
    for letter in text:
        await ctx.emit(letter)
    return Answer(text)


async def call(agents: Agents, request: Ask, key: str, replies: list[Reply] | None = None) -> None:
    reply = await agents.call(ECHO, request, key=key)
    if replies is not None:
        replies.append(reply)


async def set_soon(event: anyio.Event) -> None:
    await anyio.sleep(0.05)  # By then the agent has been told to stop.
    event.set()


def into(heard: list[str]) -> Callable[[str], Awaitable[None]]:
    async def hear(piece: str) -> None:
        heard.append(piece)

    return hear
