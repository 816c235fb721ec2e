"""A session: what a story remembers of a person between turns, by version."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

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


class SessionConflict(Exception):
    """Somebody else committed the session meanwhile: read it again, and redo the turn."""


class SessionTooLarge(Exception):
    """The session is larger than the store takes; nothing was changed."""


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

    async def commit(self, session: Session) -> Session:
        """Store ``session`` if its version is still the stored one; return it with the new version.

        Raises `SessionConflict` otherwise; a session that is gone has the version 0. Raises
        `SessionTooLarge`, and TypeError where the session holds what wouldn't come back (`pack`).
        """

    async def delete(self, id: str) -> bool:
        """Delete one session; False if there was none."""

    async def forget(self, user: str) -> int:
        """Delete all sessions of a person, and return how many there were; nobody ("") has none."""


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
