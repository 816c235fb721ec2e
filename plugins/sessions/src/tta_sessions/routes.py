"""What is asked for over HTTP: a session's sizes and times, and its profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from tta_http import CONFLICT, INVALID, NOT_FOUND, UNAVAILABLE, Principal, Route

from .model import Session, SessionConflict, SessionCorrupt, Sessions, SessionsError, SessionTooLarge, is_text
from .profile import Lines, Pace, Profile, Tone, profile_of, set_profile

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class AskSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A session; ``text`` asks for what is in it, too."""

    id: Id
    text: bool = False


class SessionView(msgspec.Struct, frozen=True):
    """A session's version and times, in seconds since the epoch; of what it holds names and sizes in bytes."""

    id: str
    user: str
    version: int
    created_at: float
    updated_at: float
    size: int
    sizes: Mapping[str, int]
    context: Mapping[str, Any] | None = None


class AskProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The profile of a session; ``text`` asks for its lines, too."""

    id: Id
    text: bool = False


class PutProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A session, and all of its profile from now on."""

    id: Id
    goals: Lines = ()
    themes: Lines = ()
    avoid: Lines = ()
    pace: Pace = "steady"
    tone: Tone = "warm"


class ProfileView(msgspec.Struct, frozen=True):
    """How a story is best told to a session's person, and how many lines there are of each kind, or the lines."""

    id: str
    pace: Pace
    tone: Tone
    goals: int
    themes: int
    avoid: int
    profile: Profile | None = None


EXAMPLE = ProfileView("s-1", "slow", "calm", goals=1, themes=2, avoid=1)


def _view(id: str, profile: Profile, *, text: bool) -> ProfileView:
    counts = len(profile.goals), len(profile.themes), len(profile.avoid)
    return ProfileView(id, profile.pace, profile.tone, *counts, profile if text else None)


def session_routes(sessions: Callable[[], Sessions | None]) -> Sequence[Route]:
    """Return the routes."""

    async def read(id: str) -> tuple[Sessions, Session]:
        found = sessions()
        if found is None:
            raise UNAVAILABLE("nothing that keeps sessions runs here")
        if not is_text(id):
            raise NOT_FOUND("there is no session of this id (any more)")
        try:
            session = await found.get(id)
        except SessionCorrupt:
            raise CONFLICT("what was stored is no session; it is in quarantine") from None
        except SessionsError as exc:
            raise UNAVAILABLE(f"the store of sessions can't be read: {exc}") from None
        if session is None:
            raise NOT_FOUND("there is no session of this id (any more)")
        return found, session

    async def show_profile(request: AskProfile, principal: Principal) -> ProfileView:
        _, session = await read(request.id)
        return _view(request.id, profile_of(session), text=request.text)

    async def put_profile(request: PutProfile, principal: Principal) -> ProfileView:
        found, session = await read(request.id)
        profile = Profile(request.goals, request.themes, request.avoid, request.pace, request.tone)
        try:
            return _view(request.id, await set_profile(found, session.id, session.user, profile), text=False)
        except SessionConflict:
            raise CONFLICT("others commit the session all the while; ask again") from None
        except SessionTooLarge:
            raise CONFLICT("the session is as large as it may be") from None
        except SessionsError as exc:
            raise UNAVAILABLE(f"the store of sessions can't be reached: {exc}") from None
        except ValueError:
            raise INVALID("a line of the profile is no text that can be stored") from None

    async def show(request: AskSession, principal: Principal) -> SessionView:
        _, session = await read(request.id)
        sizes = {name: len(msgspec.msgpack.encode(value)) for name, value in session.context.items()}
        return SessionView(
            session.id, session.user, session.version, session.created_at, session.updated_at,
            sum(sizes.values()), sizes, session.context if request.text else None,
        )  # fmt: skip

    return [
        Route(
            method="GET", path="/sessions/{id}", permission="sessions:read", request=AskSession, response=SessionView,
            handler=show, reveals="text", problems=(NOT_FOUND, CONFLICT),
            summary="Show a session's version, times and sizes.",
            example=SessionView("s-1", "anna", 3, 1_790_000_000.0, 1_790_000_060.0, 512, {"world": 500, "turn": 12}),
        ),
        Route(
            method="GET", path="/sessions/{id}/profile", permission="sessions:read", request=AskProfile,
            response=ProfileView, handler=show_profile, reveals="text", problems=(NOT_FOUND, CONFLICT),
            summary="Show how a story is best told to a session's person.", example=EXAMPLE,
        ),
        Route(
            method="PUT", path="/sessions/{id}/profile", permission="sessions:write", request=PutProfile,
            response=ProfileView, handler=put_profile, problems=(NOT_FOUND, CONFLICT),
            summary="Say how a story is best told to a session's person: goals, themes, what to avoid, pace, tone.",
            example=EXAMPLE,
        ),
    ]  # fmt: skip
