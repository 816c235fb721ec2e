"""What two processes say to each other about a call, and the queues that it goes through.

A call waits in its type's queue, or in the one instance's that it is addressed to. Whoever takes it
talks to the caller's inbox, and the caller to that process's: so nothing that ends or slows a call
has to wait behind other calls. Each struct tolerates fields that it doesn't know.
"""

from __future__ import annotations

import re
from typing import ClassVar

import msgspec

from .model import AgentId, Reply, Undo

NAME = re.compile(r"[A-Za-z0-9._@+-]{1,80}")
WINDOW = 64
"""How many pieces may be on their way before the agent waits for its reader."""
SIGNAL_TTL = 60.0
"""How long, in seconds, a signal waits for its reader where the call itself says nothing."""
_INBOXES = "inbox"


def nameable(id: AgentId) -> bool:
    """Whether queues can be named after the agent's type and instance."""
    parts = [id.type] if id.instance is None else [id.type, id.instance]
    return id.type != _INBOXES and all(NAME.fullmatch(part) for part in parts)


def queue_of(id: AgentId) -> str:
    """Return where calls of this address wait."""
    return f"agents.{id.type}" if id.instance is None else f"agents.{id.type}/{id.instance}"


def caller_of(call: str) -> str:
    """Return which process made a call, by the call's id; nothing if it is none's."""
    process = call.rpartition(":")[0]
    return process if NAME.fullmatch(process) else ""


def inbox_of(process: str) -> str:
    """Return where a process hears of calls that it has made or taken."""
    return f"agents.{_INBOXES}/{process}"


class Call(msgspec.Struct, frozen=True):
    """A request; ``left_ms`` is the time that the caller had left when it was sent.

    ``stream``, ``beats`` and ``undos`` say what the caller wants to be told while the work goes on, ``probed`` that its
    process answers a `Probe`.
    """

    TYPE: ClassVar[str] = "agents.call"
    key: str
    request: msgspec.Raw
    left_ms: int
    attempt: int = 1
    session: str = ""
    stream: bool = False
    version: int = 1
    released: str = ""
    beats: bool = False
    undos: bool = False
    probed: bool = False


class Signal(msgspec.Struct, frozen=True):
    """Something about the call ``call``; ``execution`` names the work of one process on one delivery of it."""

    TYPE: ClassVar[str]
    call: str
    execution: str


class Accepted(Signal, frozen=True):
    """The agent has begun, and takes its time; ``delivery`` counts how often the call was given to somebody."""

    TYPE: ClassVar[str] = "agents.accepted"
    agent: AgentId
    process: str
    delivery: int = 1


class Released(Signal, frozen=True):
    """The agent has stopped before its end, and the call waits for somebody else."""

    TYPE: ClassVar[str] = "agents.released"


class Pieces(Signal, frozen=True):
    """Pieces of the text, numbered from ``first`` on."""

    TYPE: ClassVar[str] = "agents.pieces"
    first: int
    texts: tuple[str, ...]


class Beat(Signal, frozen=True):
    """The agent's work goes on."""

    TYPE: ClassVar[str] = "agents.beat"


class UndoOffered(Signal, frozen=True):
    """What takes an effect of the agent back; it goes on once it hears `UndoTaken`.

    It may come before `Accepted`, so it says what that would have said.
    """

    TYPE: ClassVar[str] = "agents.undo-offered"
    undo: Undo
    process: str
    delivery: int = 1


class UndoTaken(Signal, frozen=True):
    """The caller has the undo of that ``number``, so that the agent may go on."""

    TYPE: ClassVar[str] = "agents.undo-taken"
    number: int


class Probe(Signal, frozen=True):
    """The agent waits for its caller, which has long been silent: is there anybody?"""

    TYPE: ClassVar[str] = "agents.probe"
    process: str


class Present(Signal, frozen=True):
    """The caller's process lives, and waits for the call; said at once, whatever the caller itself is busy with."""

    TYPE: ClassVar[str] = "agents.present"


class Answered(Signal, frozen=True):
    """The reply, which ``pieces`` pieces came before; ``kept`` from an earlier call with that key.

    Without pieces it may come unaccepted: then ``delivery`` says what an acceptance would have said.
    """

    TYPE: ClassVar[str] = "agents.answered"
    reply: Reply
    pieces: int = 0
    kept: bool = False
    delivery: int = 0


class Failed(Signal, frozen=True):
    """An `AgentError`; ``delivery`` as in `Answered`."""

    TYPE: ClassVar[str] = "agents.failed"
    code: str
    detail: str = ""
    retryable: bool = False
    delivery: int = 0
    own: bool = False


class Died(Signal, frozen=True):
    """Nobody gets the call any more: all who took it vanished, or broke, or its person was ``forgotten``.

    ``execution`` is empty.
    """

    TYPE: ClassVar[str] = "agents.died"
    forgotten: bool = False


class Credit(Signal, frozen=True):
    """The caller's reader has had all pieces before number ``next``, so that `WINDOW` more may follow."""

    TYPE: ClassVar[str] = "agents.credit"
    next: int


class Cancelled(Signal, frozen=True):
    """Nobody waits for the call any more."""

    TYPE: ClassVar[str] = "agents.cancelled"


SIGNALS: dict[str, type[Signal]] = {
    kind.TYPE: kind
    for kind in (
        Accepted, Released, Pieces, Beat, UndoOffered, UndoTaken, Probe, Present, Answered, Failed, Died, Credit,
        Cancelled,
    )
}  # fmt: skip
