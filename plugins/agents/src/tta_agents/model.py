"""What an agent is: its address, its declaration, its work, and what a call returns."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import msgspec

from tta_kernel import Event, Service, check_duration

from .capabilities import Capability

S = TypeVar("S", bound=msgspec.Struct)
In = TypeVar("In", bound=msgspec.Struct, contravariant=True)  # noqa: PLC0105 - read in signatures
Out = TypeVar("Out", bound=msgspec.Struct, covariant=True)  # noqa: PLC0105 - read in signatures

_StructType = type[msgspec.Struct]  # within `AgentSpec`, `type` is a field
_VERSION = re.compile(r"[A-Za-z0-9._+-]{0,80}")

OnPiece = Callable[[str], Awaitable[None]]
"""Told each piece of a streamed text; a slow reader slows the agent."""
OnBeat = Callable[[], None]
"""Told that the agent has begun, and then, now and again, that its work goes on."""
OnUndo = Callable[["Undo"], Awaitable[None]]
"""Told what takes an effect of the agent back, before there is that effect: the agent waits until this has returned."""


class AgentId(msgspec.Struct, frozen=True):
    """An address: without ``instance`` any agent of that type, with it that one."""

    type: str
    instance: str | None = None

    def __str__(self) -> str:
        return f"{self.type}:{self.instance}" if self.instance else self.type


class Unknown(msgspec.Struct, frozen=True):
    """What an agent of another deployment takes or gives, as far as this one knows: anything."""


class AgentSpec(msgspec.Struct, frozen=True):
    """A declaration: what an agent takes and gives; ``timeout`` in seconds, more than 0, bounds one call.

    ``version`` is the agent's own, up to 80 letters, digits and ``._+-``: cards and replies carry it, so that a journal
    can say what has answered. An empty one says nothing.
    """

    type: str
    description: str
    input: _StructType
    output: _StructType
    capabilities: tuple[Capability, ...] = ()
    timeout: float = 10.0
    version: str = "1"

    def __post_init__(self) -> None:
        check_duration(f"the timeout of agent {self.type!r}", self.timeout, positive=True)
        version: object = self.version  # A Struct checks it only where it is decoded.
        if not isinstance(version, str) or not _VERSION.fullmatch(version):
            what = f"the version of agent {self.type!r} is a text of up to 80 letters, digits and ._+-"
            raise ValueError(f"{what}, such as '1.2.0', not {version!r}")


class Undo(msgspec.Struct, frozen=True):
    """What takes an effect of a step back, should its run be rolled back.

    ``number`` counts those of one call from 0 on. Two that are equal, number and all, are one that was told twice.
    """

    agent: AgentId
    arguments: Mapping[str, Any]
    number: int = 0


class StepContext(Protocol):
    """What an agent sees of the call; nothing else of the system.

    ``key`` is the call's idempotency key, and ``attempt`` the caller's, from 1: another process that goes on with the
    call has the same two. ``session`` is the story's id, ``owner`` the person whose data the request carries,
    ``released`` the text of this step that stands from an earlier call with that key, whose process is gone: a person
    was told of it, or is being told. An agent that can't say the same again begins with it, and adds only the rest.
    """

    key: str
    attempt: int
    session: str
    owner: str
    released: str

    async def emit(self, text: str) -> None:
        """Hand on a piece of the text; all pieces joined must equal the output's ``text``."""

    def heartbeat(self) -> None:
        """Say that the work goes on; as often as you like, since few of many are told. A piece says so, too."""

    async def on_rollback(self, agent: AgentId, arguments: Mapping[str, Any]) -> None:
        """Say what takes an effect of this step back, before there is that effect.

        Returns once the caller has it, if it wants to know before the call's end: from then on the effect is taken
        back even if this agent fails, or dies. Where the caller can't take it the call is over.
        """


class Agent(Protocol[In, Out]):
    """What a plugin serves; it keeps nothing per session."""

    @property
    def spec(self) -> AgentSpec:
        """The declaration, the same that the hook ``agents`` returns."""

    async def process(self, request: In, ctx: StepContext, /) -> Out:
        """Answer one request; the caller's cancel scope is the deadline."""


CODE = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
"""What an error's code looks like."""


class AgentError(Exception):
    """A call didn't come to an answer; it never carries a person's text.

    ``code``: ``not_served``, ``bad_request``, ``bad_output``, ``timeout``, ``failed``, ``too_large``, ``overloaded``,
    ``unavailable``, ``stream_broken``, ``undo_refused``, ``given_up``, ``forgotten`` or an agent's own, which is a word
    as these are (`CODE`); ``retryable``: calling again with the same key may help. ``own``: an agent has put it into
    words of its own, which nobody has checked: ``detail`` is for whoever called, and ``shown`` for everybody else.
    """

    def __init__(self, code: str, detail: str = "", *, retryable: bool = False, own: bool = False) -> None:
        if not CODE.fullmatch(code):
            code = "failed"  # It is a text, and not what a definition, a log or a counter could name.
        super().__init__(f"{code}: {detail}" if detail and not own else code)
        self.code, self.detail, self.retryable, self.own = code, detail, retryable, own

    @property
    def shown(self) -> str:
        """What records, logs and people may see of ``detail``: nothing of an agent's own words."""
        return "" if self.own else self.detail


class Reply(msgspec.Struct, frozen=True):
    """An agent's answer: ``output`` holds builtins, wherever the agent ran.

    ``undo`` is all that ``on_undo`` was told, where the call had one. ``agent_version`` is empty where the agent's
    process, of an older release, didn't say.
    """

    agent: AgentId
    output: Any
    seconds: float
    undo: tuple[Undo, ...] = ()
    agent_version: str = ""

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
    p50: float = 0.0


class Agents(Protocol):
    """Serving agents, and calling them wherever they are served."""

    def serve(self, agent: Agent[Any, Any], *, instance: str | None = None) -> AbstractAsyncContextManager[AgentId]:
        """Serve ``agent`` for as long as the block; without ``instance`` a name is made up."""

    async def call(
        self, agent: AgentId, request: msgspec.Struct | Mapping[str, Any], *, key: str, attempt: int = 1,
        session: str = "", on_piece: OnPiece | None = None, owner: str = "", on_beat: OnBeat | None = None,
        on_undo: OnUndo | None = None, released: str = "",
    ) -> Reply:  # fmt: skip
        """Ask an agent, wherever it is served; the enclosing cancel scope is the deadline; raises only `AgentError`.

        Idempotent by ``key``: an answer is kept for a window, and calling again returns it. Without one, or with an
        ``attempt`` that is no number from 1 on, it is a ValueError. ``owner`` is the person whose data the request
        carries, so that ``forget`` finds it on its way, and its answer; what is kept for one person answers no other.
        ``released`` is what was emitted in an earlier call, and stands.

        ``on_piece``, ``on_beat`` and ``on_undo`` are told how the work goes on, one at a time. What one of them raises
        ends the call, and its agent: ``undo_refused`` where it was ``on_undo``, else ``failed``. A kept answer is told
        as one piece, and its undos as if they came now: so what ``on_undo`` has had is what the reply says, at least.
        """

    @property
    def process(self) -> str:
        """The name of this process, which the cards of its agents carry."""

    def served(self) -> Sequence[AgentCard]:
        """Return which agents this process serves, as they were registered: the same object until one comes or goes."""

    def statistics(self) -> Mapping[str, Statistics]:
        """How the agents served in this process have done, by their address."""


class AgentCard(msgspec.Struct, frozen=True):
    """A served agent, as a registry knows it; times in seconds since the epoch, by the registry's clock.

    ``process`` serves it; only where it is ``shared`` may others call it. ``running`` calls at once
    now, and ``limit`` that it takes from others (0: it doesn't say). ``resources`` are its wishes, ``version`` is
    that of the card's own form, and ``agent_version`` what the agent declares. ``statistics`` are those of its process
    when it was last seen; None where that, of an older release, doesn't say.
    """

    id: AgentId
    description: str = ""
    capabilities: tuple[Capability, ...] = ()
    status: Literal["idle", "busy", "degraded"] = "idle"
    registered_at: float = 0.0
    process: str = ""
    shared: bool = False
    running: int = 0
    limit: int = 0
    timeout: float = 0.0
    resources: Mapping[str, Any] = {}
    seen_at: float = 0.0
    version: int = 1
    agent_version: str = ""
    statistics: Statistics | None = None

    @property
    def load(self) -> float:
        """How much of what the agent can do at once it is doing, from 0 up."""
        return self.running / self.limit if self.limit else 0.0


class Report(msgspec.Struct, frozen=True):
    """How an agent is now, and the state that it would want back after a restart."""

    card: AgentCard
    state: bytes | None = None


class RegistrySnapshot(msgspec.Struct, frozen=True):
    """All agents: those registered through this registry object, and all others."""

    local: Sequence[AgentCard] = ()
    remote: Sequence[AgentCard] = ()


class AgentRegistry(Protocol):
    """Which agents are served, here or elsewhere; it lists only those that are alive.

    A registry that has to reach its store raises `RegistryError` where it can't.
    """

    async def register(self, card: AgentCard, report: Callable[[], Report] | None = None) -> None:
        """Add an agent, or replace what is known of it; ``report`` is asked whenever the registry looks at it.

        An agent of that address in another process is replaced, too: the newest has it.
        """

    async def deregister(self, id: AgentId, process: str = "") -> bool:
        """Remove an agent; False if it was not there, or is another's by now than the given ``process``'s."""

    async def get(self, id: AgentId) -> AgentCard | None:
        """Return one agent's card."""

    async def list(self, type: str | None = None) -> Sequence[AgentCard]:
        """Return all cards, or those of one type, ordered by address."""

    async def discover(self, type: str | None = None) -> Sequence[AgentCard]:
        """Return the cards that aren't degraded, the least loaded first."""

    async def snapshot(self) -> RegistrySnapshot:
        """Return all cards, and which of them are from here; ordered by address."""

    async def state(self, id: AgentId) -> bytes | None:
        """Return what the agent of that address reported as its state last, before a restart, too."""

    async def refuse_state(self, id: AgentId, reason: str) -> None:
        """Quarantine that state, as far as there is a place for it: its agent can't take it back, and begins anew."""


class RegistryError(Exception):
    """The store of a registry or of replies can't be reached, or answers nonsense."""


class Replies(Protocol):
    """Replies by agent type, key and owner, so that a call that is made again finds its answer in any process.

    A store raises `RegistryError` where it can't be reached, or can't keep a reply.
    """

    async def get(self, type: str, key: str, owner: str = "") -> Reply | None:
        """Return a kept reply."""

    async def put(self, type: str, key: str, reply: Reply, ttl: float, owner: str = "") -> Reply:
        """Keep a reply for ``ttl`` seconds, unless there is one; return the one that is kept."""

    async def forget(self, owner: str) -> int:
        """Delete a person's replies, and return how many there were; nobody is ""."""


class AgentRegistered(Event, frozen=True, tag="agents.registered"):
    """An agent is served from now on."""

    __shown__: ClassVar = ("agent",)

    agent: AgentCard


class AgentDeregistered(Event, frozen=True, tag="agents.deregistered"):
    """An agent is no longer served: it ``left``, or its process was not heard of for so long that it ``expired``."""

    __shown__: ClassVar = ("agent", "reason")

    agent: AgentId
    reason: Literal["left", "expired"] = "left"


class AgentStatusChanged(Event, frozen=True, tag="agents.status-changed"):
    """An agent's status is another; told only then."""

    __shown__: ClassVar = ("agent", "before", "after")

    agent: AgentId
    before: str
    after: str


class AgentCalled(Event, frozen=True, tag="agents.called"):
    """A call has ended; ``code`` is empty where it came to an answer.

    ``session`` and ``owner`` are the call's; one without an owner concerns nobody but operators.
    """

    __shown__: ClassVar = ("agent", "code")

    agent: AgentId
    key: str
    seconds: float
    code: str = ""
    session: str = ""
    owner: str = ""


AGENTS = Service[Agents]("agents")
AGENT_REGISTRY = Service[AgentRegistry]("agent-registry")
AGENT_REPLIES = Service[Replies]("agent-replies")
