"""What agents keep in mind of a session, and what surfaces say of it: bounded, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from . import kept
from .model import Session, Sessions, is_text

MEMORY, METADATA, LAST_AGENT = "memory", "metadata", "last_agent"
"""Where each of them stands in a session's context."""
MOST = 64
"""How many things are remembered at most; those that were not renewed for longest go first."""
LONGEST_NAME, LONGEST_VALUE = 64, 1000
"""Characters of a name; bytes of a value, as JSON."""


def memory_of(session: Session | None) -> dict[str, Any]:
    """Return what agents remember of a session; nothing where that is damaged."""
    return _mapping(session, MEMORY)


def metadata_of(session: Session | None) -> dict[str, Any]:
    """Return what surfaces have said of a session, such as where it is played; nothing where that is damaged."""
    return _mapping(session, METADATA)


def last_agent_of(session: Session | None) -> str:
    """Return the agent that gave the last story its words; "" where nobody knows."""
    found = session.context.get(LAST_AGENT) if session is not None else None
    return found if isinstance(found, str) else ""


def remembered(before: Mapping[str, Any], changes: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a memory with what is new in it, bounded, and the names of what was too long, or no builtin.

    None takes a thing out of it.
    """
    after = dict(before)
    refused = []
    for name, value in changes.items():
        if not _fits(name, value):
            refused.append(str(name)[:LONGEST_NAME])
            continue
        after.pop(name, None)
        if value is not None:
            after[name] = value
    while len(after) > MOST:
        del after[next(iter(after))]
    return after, tuple(refused)


async def set_metadata(sessions: Sessions, id: str, user: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Change what a surface says of a session, and return all of it; None takes a name out.

    Raises ValueError for what is too long or no builtin, and for a session of somebody else's; else as `set_profile`.
    """

    def make(session: Session) -> Mapping[str, Any]:
        after, refused = remembered(metadata_of(session), changes)
        if refused:
            raise ValueError(f"what is said of a session is too long, or no builtin: {refused[0]!r}")
        return {**session.context, METADATA: after}

    return metadata_of(await kept.change(sessions, id, user, make))


def _mapping(session: Session | None, key: str) -> dict[str, Any]:
    found = session.context.get(key) if session is not None else None
    if not isinstance(found, dict):
        return {}
    return dict(list(found.items())[-MOST:])


def _fits(name: object, value: object) -> bool:
    if not isinstance(name, str) or not name or len(name) > LONGEST_NAME or not is_text(name):
        return False
    try:
        encoded = msgspec.json.encode(value)
        msgspec.msgpack.decode(msgspec.msgpack.encode(value))
    except (msgspec.DecodeError, TypeError, ValueError, OverflowError, RecursionError):
        return False
    return len(encoded) <= LONGEST_VALUE
