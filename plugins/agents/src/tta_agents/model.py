"""What an agent is: its address, its declaration, its work, and what a call returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from tta_kernel import Event, Service

from .capabilities import Capability

S = TypeVar("S", bound=msgspec.Struct)
In = TypeVar("In", bound=msgspec.Struct, contravariant=True)  # noqa: PLC0105 - read in signatures
Out = TypeVar("Out", bound=msgspec.Struct, covariant=True)  # noqa: PLC0105 - read in signatures

_StructType = type[msgspec.Struct]  # within `AgentSpec`, `type` is a field

OnPiece = Callable[[str], Awaitable[None]]
"""Told each piece of a streamed text; a slow reader slows the agent."""


class AgentId(msgspec.Struct, frozen=True):
    """An address: without ``instance`` any agent of that type, with it that one."""

    type: str
    instance: str | None = None

    def __str__(self) -> str:
        return f"{self.type}:{self.instance}" if self.instance else self.type


class AgentSpec(msgspec.Struct, frozen=True):
    """A declaration: what an agent takes and gives; ``timeout`` in seconds bounds one call."""

    type: str
    description: str
    input: _StructType
    output: _StructType
    capabilities: tuple[Capability, ...] = ()
    timeout: float = 10.0


class Undo(msgspec.Struct, frozen=True):
    """What takes a step's effect back, should its run be rolled back."""

    agent: AgentId
    arguments: Mapping[str, Any]


class StepContext(Protocol):
    """What an agent sees of the call; nothing else of the system.

    ``key`` is the call's idempotency key, ``attempt`` counts from 1, ``session`` is the story's id.
    """

    key: str
    attempt: int
    session: str

    async def emit(self, text: str) -> None:
        """Hand on a piece of the text; all pieces joined must equal the output's ``text``."""

    def heartbeat(self) -> None:
        """Say that the work goes on."""

    def on_rollback(self, agent: AgentId, arguments: Mapping[str, Any]) -> None:
        """Say what takes the effect of this step back."""


class Agent(Protocol[In, Out]):
    """What a plugin serves; it keeps nothing per session."""

    @property
    def spec(self) -> AgentSpec:
        """The declaration, the same that the hook ``agents`` returns."""

    async def process(self, request: In, ctx: StepContext, /) -> Out:
        """Answer one request; the caller's cancel scope is the deadline."""


class AgentError(Exception):
    """A call didn't come to an answer; it never carries a person's text.

    ``code``: ``not_served``, ``bad_request``, ``bad_output``, ``timeout``, ``failed`` or an agent's own;
    ``retryable``: calling again with the same key may help.
    """

    def __init__(self, code: str, detail: str = "", *, retryable: bool = False) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code, self.detail, self.retryable = code, detail, retryable


class Reply(msgspec.Struct, frozen=True):
    """An agent's answer: ``output`` holds builtins, wherever the agent ran."""

    agent: AgentId
    output: Any
    seconds: float
    undo: tuple[Undo, ...] = ()

    def decode(self, type_: type[S]) -> S:
        """Return the output as a Struct."""
        return msgspec.convert(self.output, type_)


class Statistics(msgspec.Struct, frozen=True):
    """How an agent served here has done; times in seconds, over the last 100 calls."""

    calls: int = 0
    errors: int = 0
    timeouts: int = 0
    running: int = 0
    mean: float = 0.0
    p95: float = 0.0


class Agents(Protocol):
    """Serving agents, and calling them wherever they are served."""

    def serve(self, agent: Agent[Any, Any], *, instance: str | None = None) -> AbstractAsyncContextManager[AgentId]:
        """Serve ``agent`` for as long as the block; without ``instance`` a name is made up."""

    async def call(
        self, agent: AgentId, request: msgspec.Struct | Mapping[str, Any], *, key: str, attempt: int = 1,
        session: str = "", on_piece: OnPiece | None = None,
    ) -> Reply:  # fmt: skip
        """Ask an agent; the enclosing cancel scope is the deadline; raises only `AgentError`.

        Idempotent by ``key``: an answer is kept for a window, and calling again returns it.
        """

    def statistics(self) -> Mapping[str, Statistics]:
        """How the agents served in this process have done, by their address."""


class AgentCard(msgspec.Struct, frozen=True):
    """A served agent, as a registry knows it; times in seconds since the epoch."""

    id: AgentId
    description: str = ""
    capabilities: tuple[Capability, ...] = ()
    status: Literal["idle", "busy", "degraded"] = "idle"
    registered_at: float = 0.0


class AgentRegistry(Protocol):
    """Which agents are served, here or elsewhere."""

    async def register(self, card: AgentCard) -> None:
        """Add an agent, or replace what is known of it."""

    async def deregister(self, id: AgentId) -> bool:
        """Remove an agent; False if it was not there."""

    async def get(self, id: AgentId) -> AgentCard | None:
        """Return one agent's card."""

    async def list(self, type: str | None = None) -> Sequence[AgentCard]:
        """Return all cards, or those of one type, ordered by address."""


class AgentRegistered(Event, frozen=True, tag="agents.registered"):
    """An agent is served from now on."""

    agent: AgentCard


class AgentDeregistered(Event, frozen=True, tag="agents.deregistered"):
    """An agent is no longer served."""

    agent: AgentId


class AgentCalled(Event, frozen=True, tag="agents.called"):
    """A call has ended; ``code`` is empty where it came to an answer."""

    agent: AgentId
    key: str
    seconds: float
    code: str = ""


AGENTS = Service[Agents]("agents")
AGENT_REGISTRY = Service[AgentRegistry]("agent-registry")
