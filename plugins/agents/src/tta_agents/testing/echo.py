"""An agent that does what a test says, and where tests find it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio
import msgspec
import pytest

from tta_agents.capabilities import Capability
from tta_agents.model import AgentError, AgentId, Agents, AgentSpec, Reply, StepContext

ECHO = AgentId("echo")
PATIENCE = 20.0
CANCELLED = asyncio.CancelledError  # noqa: TID251 - what a stranger lets out, on whichever event loop
FOREIGN: tuple[type[BaseException], ...] = (CANCELLED, SystemExit, GeneratorExit)
"""What a stranger lets out that is no `Exception`, and that nobody of ours asked for."""


class Ask(msgspec.Struct, frozen=True):
    """A request."""

    text: str
    times: int = 1


class Answer(msgspec.Struct, frozen=True):
    """An answer."""

    text: str
    parts: tuple[str, ...] = ()


ASK = Ask("x")
Work = Callable[[Ask, StepContext], Awaitable[Any]]


class Echo:
    """An agent that does what a test says, and remembers what it was asked."""

    def __init__(
        self, work: Work | None = None, *, timeout: float = 10.0, type: str = "echo",
        capabilities: Sequence[Capability] = (Capability("echo"),), version: str = "1",
    ) -> None:  # fmt: skip
        self.spec = AgentSpec(type, "says it again", Ask, Answer, tuple(capabilities), timeout, version)
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


async def error_of(agents: Agents, request: Any = ASK, to: AgentId = ECHO, key: str = "k") -> AgentError:
    """Return the error that a call comes to."""
    with anyio.fail_after(PATIENCE), pytest.raises(AgentError) as caught:
        await agents.call(to, request, key=key)
    return caught.value


async def stream(text: str, ctx: StepContext) -> Answer:
    """Emit a text letter by letter."""
    for letter in text:
        await ctx.emit(letter)
    return Answer(text)


def telling(text: str, then: anyio.Event | None = None) -> Work:
    """Return what emits a text letter by letter, and then waits."""

    async def work(request: Ask, ctx: StepContext) -> Answer:
        answer = await stream(text, ctx)
        if then is not None:
            await then.wait()
        return answer

    return work


def blocking() -> tuple[Work, anyio.Event]:
    """Return what says again what it was asked, as soon as the event is set."""
    free = anyio.Event()

    async def work(request: Ask, ctx: StepContext) -> Answer:
        await free.wait()
        return Answer(request.text)

    return work, free


async def call(agents: Agents, request: Ask, key: str, replies: list[Reply] | None = None) -> None:
    reply = await agents.call(ECHO, request, key=key)
    if replies is not None:
        replies.append(reply)


@asynccontextmanager
async def calling(agents: Agents, *texts: str) -> AsyncIterator[list[Reply]]:
    """Call once with each text meanwhile, and wait for the replies at the end of the block."""
    replies: list[Reply] = []
    async with anyio.create_task_group() as tasks:
        for text in texts:
            tasks.start_soon(call, agents, Ask(text), text, replies)
        yield replies


def into(heard: list[str]) -> Callable[[str], Awaitable[None]]:
    async def on_piece(piece: str) -> None:
        heard.append(piece)

    return on_piece


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what has to be asked for: a store's state, say."""
    with anyio.fail_after(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - there is nothing to be woken by
            await anyio.sleep(0.005)
