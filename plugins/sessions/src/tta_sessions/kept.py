"""What stands in a session's context under a key of its own: read whatever its state, and changed beside turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import msgspec

from .model import Session, SessionConflict, Sessions

TRIES = 20
"""How often a change is tried while others commit the same session."""
S = TypeVar("S", bound=msgspec.Struct)
Change = Callable[[Session], Mapping[str, Any] | None]
"""Takes a session as it is now, and returns what its context is to have in place of that; None changes nothing."""


def read(session: Session | None, key: str, kind: type[S]) -> S:
    """Return what lies under a key: a field that is missing or damaged has its default."""
    stored = session.context.get(key) if session is not None else None
    if not isinstance(stored, dict):
        return kind()
    good = {}
    for name, type in _types(kind):
        if name in stored:
            try:
                good[name] = msgspec.convert(stored[name], type)
            except msgspec.ValidationError:
                continue
    return kind(**good)


@cache
def _types(kind: type[msgspec.Struct]) -> Sequence[tuple[str, Any]]:
    # Each look at the hints compiles them: 0.2 ms, several times in a turn.
    return [(field.name, field.type) for field in msgspec.structs.fields(kind)]


def checked(value: S) -> S:
    """Return a Struct as it will be read, since one checks nothing when it is built; ValueError where it won't be."""
    return msgspec.json.decode(msgspec.json.encode(value), type=type(value))


async def change(sessions: Sessions, id: str, user: str, make: Change, *, new: bool = True) -> Session | None:
    """Change the context of a session, one that is there or a ``new`` one of ``user``'s, and return it.

    What somebody else commits meanwhile stays. None where there is no such session, and none is to be begun. Raises
    ValueError for a session of somebody else's; `SessionConflict` where others commit all the while; and what the store
    raises.
    """
    for number in range(TRIES):
        session = await sessions.get(id)
        if session is None and not new:
            return None
        session = session or Session(id, user)
        if session.user != user:
            raise ValueError("the session is somebody else's")
        made = make(session)
        if made is None or (session.version and made == session.context):
            return session
        try:
            return await sessions.commit(msgspec.structs.replace(session, context=made))
        except SessionConflict:
            if number == TRIES - 1:
                raise
    raise AssertionError("the last try returns or raises")
