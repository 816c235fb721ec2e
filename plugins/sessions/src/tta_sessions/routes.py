"""What is asked for over HTTP: a session's sizes and times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from tta_http import CONFLICT, NOT_FOUND, UNAVAILABLE, Principal, Route

from .model import SessionCorrupt, Sessions, SessionsError, is_text


class AskSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A session; ``text`` asks for what is in it, too."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
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


def session_routes(sessions: Callable[[], Sessions | None]) -> Sequence[Route]:
    """Return the route."""

    async def show(request: AskSession, principal: Principal) -> SessionView:
        found = sessions()
        if found is None:
            raise UNAVAILABLE("nothing that keeps sessions runs here")
        if not is_text(request.id):
            raise NOT_FOUND("there is no session of this id (any more)")
        try:
            session = await found.get(request.id)
        except SessionCorrupt:
            raise CONFLICT("what was stored is no session; it is in quarantine") from None
        except SessionsError as exc:
            raise UNAVAILABLE(f"the store of sessions can't be read: {exc}") from None
        if session is None:
            raise NOT_FOUND("there is no session of this id (any more)")
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
        )
    ]  # fmt: skip
