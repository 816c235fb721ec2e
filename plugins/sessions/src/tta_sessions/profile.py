"""What a story should know of its person to do them good: their goals, its themes, what to avoid, and its pace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from . import kept
from .model import Session, Sessions

KEY = "profile"
"""Where it stands in a session's context."""
Pace = Literal["slow", "steady", "lively"]
Tone = Literal["warm", "gentle", "calm", "hopeful", "playful"]
Line = Annotated[str, Meta(min_length=1, max_length=200)]
Lines = Annotated[tuple[Line, ...], Meta(max_length=10)]


class Profile(msgspec.Struct, frozen=True):
    """A therapeutic profile: ten lines of each at most, in the words of the person or of whoever cares for them.

    ``goals`` are what the person would like to come to, ``themes`` what the story may touch on, ``avoid`` what it keeps
    away from.
    """

    goals: Lines = ()
    themes: Lines = ()
    avoid: Lines = ()
    pace: Pace = "steady"
    tone: Tone = "warm"


def profile_of(session: Session | None) -> Profile:
    """Return a session's profile: the default where it has none, and for each field that is damaged its default."""
    return kept.read(session, KEY, Profile)


async def set_profile(sessions: Sessions, id: str, user: str, profile: Profile) -> Profile:
    """Set the profile of a session, one that is there or a new one of ``user``'s, and return it as it is stored.

    Raises ValueError for one that is too long, or holds what it may not, and for a session of somebody else's;
    `SessionConflict` where others commit it all the while; and what the store raises.
    """
    packed = msgspec.to_builtins(kept.checked(profile))

    def make(session: Session) -> Mapping[str, Any]:
        return {**session.context, KEY: packed}

    return profile_of(await kept.change(sessions, id, user, make))
