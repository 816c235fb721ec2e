"""A session: what a story remembers of a person between turns, by version."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from tta_kernel import Event, Figure, Service


class Session(msgspec.Struct, frozen=True):
    """One story of one person; ``context`` holds builtins, times are in seconds since the epoch.

    ``version`` is 0 before the first commit, and 1 more after each.
    """

    id: str
    user: str = ""
    version: int = 0
    created_at: float = 0.0
    updated_at: float = 0.0
    context: Mapping[str, Any] = {}


class Admission(msgspec.Struct, frozen=True):
    """A turn in the queue of its session: what a person (``user``) wrote, and the run that answers it.

    ``holder`` is who sees to it, and nobody else may before ``until``. ``told`` is how many characters of the answer
    that person may have read. The store sets ``at``, when it was admitted, and ``until``, by its own clock. ``text`` is
    empty where that was too long ago: nobody can answer it any more. ``seed`` is a story's that begins with it.
    """

    session: str
    user: str
    run: str
    text: str
    holder: str
    seed: int | None = None
    told: int = 0
    at: float = 0.0
    until: float = 0.0


class Held(msgspec.Struct, frozen=True):
    """Whether it is a turn's turn, and the ``first`` one of its session's queue, if there is one.

    ``held``: it is the first, and its holder's; ``waits``: another is before it, or somebody else holds it; ``gone``:
    it was committed or dropped.
    """

    status: Literal["held", "waits", "gone"]
    first: Admission | None = None


class Listed(msgspec.Struct, frozen=True):
    """A session in a list: all but what it holds."""

    id: str
    version: int
    created_at: float
    updated_at: float


class SessionBusy(Exception):
    """As many turns of the session wait as may; nothing was changed."""


class SessionFenced(Exception):
    """Somebody else has gone on with the turn, or it was dropped; nothing was changed."""


class SessionConflict(Exception):
    """Somebody else committed the session meanwhile: read it again, and redo the turn."""


class SessionTooLarge(Exception):
    """The session is larger than the store takes; nothing was changed."""


class SessionsFull(Exception):
    """The store takes no more sessions, of anybody or of this person; nothing was begun, and those there are go on."""


class SessionsError(Exception):
    """The store can't be reached, or is late: a commit may have been stored or not. Read again, then see."""


class SessionCorrupt(SessionsError):
    """What is stored is no session: it was quarantined for an operator, and the session is gone, as if it had ended."""


class Sessions(Protocol):
    """Where sessions live; each has a time to live, a limit to its size, and an owner, or "" and so none.

    Any call may raise `SessionsError`.
    """

    async def get(self, id: str) -> Session | None:
        """Return a session, or None where there is none (any more)."""

    async def commit(self, session: Session, admission: Admission | None = None) -> Session:
        """Store ``session`` if its version is still the stored one; return it with the new version.

        With an ``admission``, which must be the first and held by its ``holder``, that leaves the queue in the same
        step; `SessionFenced` otherwise. Raises `SessionConflict` for another version; a session that is gone has the
        version 0. Raises `SessionTooLarge`, `SessionsFull` for a session that there is no place for (an admitted turn
        has its place), and TypeError where the session holds what wouldn't come back (`pack`).
        """

    async def admit(self, admission: Admission, ttl: float) -> Admission:
        """Enter a turn at the end of its session's queue, and let its holder have it for ``ttl`` seconds.

        The same run again is the same entry, as it is stored. Raises `SessionBusy` where `QUEUE` turns wait,
        `SessionsFull` for the first turn of a session that there is no place for, `SessionTooLarge`, and TypeError
        (`check_admission`).
        """

    async def hold(self, session: str, run: str, holder: str, ttl: float, told: int = 0) -> Held:
        """Hold the first turn of the queue, if nobody else does, or renew what is held, for ``ttl`` seconds from now.

        A turn that waits is renewed, too, by who holds it, and is nobody else's meanwhile. ``told`` only grows.
        """

    async def drop(self, session: str, run: str, holder: str) -> bool:
        """Take a turn out of the queue, unanswered; False where somebody else holds it, or it is gone."""

    async def delete(self, id: str) -> bool:
        """Delete one session; False if there was none."""

    async def count(self, user: str = "") -> int:
        """Count the sessions that are kept, or those of one person.

        One that has ended may be counted for a while, and so may one whose first turn was admitted.
        """

    async def list(self, user: str, after: str = "", limit: int = 100) -> Sequence[Listed]:
        """Return a person's sessions by their ids, those after one; nobody ("") has none."""

    async def forget(self, user: str) -> int:
        """Delete all sessions and admissions of a person, and return how many there were; nobody ("") has none."""


def is_text(name: str) -> bool:
    """Whether a name can be stored: what a terminal gives for broken UTF-8 can't."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def pack(session: Session) -> bytes:
    """Return the context in msgpack; raise a TypeError, which quotes nothing, where the session wouldn't come back.

    A store that took it would find a corrupt session later, and the story would be gone.
    """
    try:
        if not (is_text(session.id) and is_text(session.user) and math.isfinite(session.created_at)):
            raise ValueError
        packed = msgspec.msgpack.encode(session.context)
        msgspec.msgpack.decode(packed, type=dict[str, Any])
    except (msgspec.DecodeError, TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise TypeError(
            "a session holds a mapping from texts to builtins, and names and times that can be stored; "
            f"this one doesn't ({type(exc).__name__})"
        ) from None
    return packed


class SessionCommitted(Event, frozen=True, tag="sessions.committed"):
    """A person's session (``owner``) has a new version."""

    session: str
    version: int
    owner: str = ""


FIGURES = (
    Figure("sessions.commits", "commits that were stored, by this process", "counter"),
    Figure("sessions.conflicts", "commits refused since somebody else had committed, by this process", "counter"),
)
"""What each implementation counts."""
SESSIONS = Service[Sessions]("sessions")
