"""What tests of workflows are made of: agents that a test scripts, a clock that it moves, processes that it ends."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import msgspec

from tta_agents import AgentError, AgentId, Agents, OnBeat, OnPiece, OnUndo, Reply, Undo
from tta_breakers import Breakers
from tta_capabilities import Capabilities
from tta_kernel import Event
from tta_messages import Messages
from tta_workflows.clock import Alarms, Clock, SystemClock
from tta_workflows.definition import Workflow
from tta_workflows.engine import Engine, Settings
from tta_workflows.executor import Executor
from tta_workflows.journal import Journal, JournalError
from tta_workflows.pools import Pools, PoolSettings
from tta_workflows.validation import CheckOutput

log = logging.getLogger("tta.workflows-local")


def workflow(*steps: Mapping[str, Any], **more: Any) -> Workflow:
    """Make a definition of builtins, as files have it."""
    return msgspec.convert({"steps": list(steps), **more}, Workflow)


@dataclass
class Call:
    """A call of a fake agent."""

    agent: AgentId
    request: Mapping[str, Any]
    key: str
    attempt: int
    session: str
    owner: str
    on_piece: OnPiece | None
    on_beat: OnBeat | None
    on_undo: OnUndo | None
    released: str

    async def emit(self, *pieces: str) -> str:
        """Stream pieces, and return the whole."""
        for piece in pieces:
            if self.on_piece is not None:
                await self.on_piece(piece)
        return "".join(pieces)

    async def on_rollback(self, agent: str, **arguments: Any) -> None:
        """Say what takes back an effect of this call."""
        assert self.on_undo is not None
        await self.on_undo(Undo(AgentId(agent), arguments))


Work = Callable[[Call], Awaitable[Mapping[str, Any]]]


async def echo(call: Call) -> Mapping[str, Any]:
    """Answer what was asked."""
    return call.request


def failing(*codes: str, retryable: bool = True) -> Work:
    """Make an agent whose calls fail with these codes, one after the other; afterwards it is an `echo`."""
    left = list(codes)

    async def work(call: Call) -> Mapping[str, Any]:
        if left:
            raise AgentError(left.pop(0), retryable=retryable)
        return call.request

    return work


@dataclass
class FakeAgents:
    """Agents by their type, which `calls` remembers; replies are kept by their key, for all processes that share it."""

    work: dict[str, Work] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    kept: dict[str, Reply] = field(default_factory=dict)
    process: str = "fake"

    @property
    def keys(self) -> list[str]:
        """The keys of all calls, without their runs' names."""
        return [call.key.partition(":")[2] for call in self.calls]

    async def call(
        self, agent: AgentId, request: Any, *, key: str, attempt: int = 1, session: str = "", owner: str = "",
        on_piece: OnPiece | None = None, on_beat: OnBeat | None = None, on_undo: OnUndo | None = None,
        released: str = "",
    ) -> Reply:  # fmt: skip
        call = Call(agent, request, key, attempt, session, owner, on_piece, on_beat, on_undo, released)
        self.calls.append(call)
        if (reply := self.kept.get(key)) is not None:
            await call.emit(str(reply.output.get("text", "")))
            return reply
        work = self.work.get(agent.type)
        if work is None:
            raise AgentError("not_served", f"nobody serves {agent}", retryable=True)
        reply = Reply(agent, msgspec.msgpack.decode(msgspec.msgpack.encode(await work(call))), 0.0)
        return self.kept.setdefault(key, reply)


class VirtualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now
        self.sleeping = 0
        self._moved = anyio.Event()

    def time(self) -> float:
        return self.now

    async def sleep_until(self, due: float) -> None:
        self.sleeping += 1
        try:
            while self.now < due:
                await self._moved.wait()
        finally:
            self.sleeping -= 1

    def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        self.now += seconds
        self._moved.set()
        self._moved = anyio.Event()


@dataclass
class Processes:
    """Executors that share agents and a journal; each can be ended as a crash would end it."""

    journal: Journal
    agents: FakeAgents = field(default_factory=FakeAgents)
    clock: Clock = field(default_factory=SystemClock)
    settings: Settings = field(default_factory=lambda: Settings(lease=2.0, grace=0.2))
    capabilities: Capabilities | None = None
    messages: Messages | None = None
    check_output: CheckOutput | None = None
    breakers: Breakers | None = None
    pools: Mapping[str, PoolSettings] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def engine(self, journal: Journal | None = None) -> Engine:
        """Make the surroundings of one executor."""
        return Engine(
            agents=cast("Agents", self.agents), journal=journal or self.journal, clock=self.clock,
            alarms=Alarms(self.clock), log=log, settings=self.settings, capabilities=self.capabilities,
            messages=self.messages, publish=self.events.append, check_output=self.check_output,
            breakers=self.breakers,
            pools=Pools(self.pools, log),
        )  # fmt: skip

    @asynccontextmanager
    async def running(self, journal: Journal | None = None, **definitions: Workflow) -> AsyncIterator[Executor]:
        """Run an executor for as long as the block; within it, it may be ended by what its journal raises."""
        executor = Executor(self.engine(journal), definitions)
        async with executor.running():
            yield executor


class Cut:
    """A journal's connection of one process, which breaks at its n-th commit, and then for good: the process has died.

    ``stored``: that commit arrives, and only its answer is lost.
    """

    def __init__(self, journal: Journal, after: int, *, stored: bool) -> None:
        self._journal, self._left, self._stored = journal, after, stored
        self.durable = journal.durable
        self.broken = anyio.Event()

    def __getattr__(self, name: str) -> Any:
        really = getattr(self._journal, name)

        async def call(*args: Any, **how: Any) -> Any:
            if self.broken.is_set():
                raise JournalError("the connection is cut")
            if name == "commit":
                self._left -= 1
                if self._left < 0:
                    self.broken.set()
                    if self._stored:
                        await really(*args, **how)
                    raise JournalError("the connection is cut")
            return await really(*args, **how)

        return call
