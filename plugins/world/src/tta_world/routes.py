"""What is asked for over HTTP: a world's version and sizes, and nothing of what is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from tta_http import NOT_FOUND, UNAVAILABLE, Principal, Route

from .graph import nodes, relations
from .guard import guard
from .store import Snapshot, WorldError, WorldRefused, WorldStore

LIMIT = 10.0
"""How long, in seconds, somebody waits for an answer."""


class AskWorld(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The world of a session."""

    session: Annotated[str, Meta(min_length=1, max_length=256)]


class WorldView(msgspec.Struct, frozen=True):
    """A world without what is in it: its version and story, when it last changed, and sizes.

    ``kept`` has the versions of the changes that are kept, ``size`` is in bytes, ``at`` in seconds since the epoch.
    """

    session: str
    owner: str
    version: int
    turn: int
    story: str
    edition: str
    at: float
    size: int
    entities: Mapping[str, int]
    relations: Mapping[str, int]
    kept: Sequence[int]


def view(snapshot: Snapshot) -> WorldView:
    """Return what may be shown to whoever may not read people's text."""
    world, head = snapshot.world, snapshot.head
    return WorldView(
        session=head.session, owner=head.owner, version=head.version, turn=world.turn, story=world.story,
        edition=world.edition, at=head.at, size=len(msgspec.msgpack.encode(world)),
        entities=_counted(node.kind for node in nodes(world)),
        relations=_counted(relation.kind for relation in relations(world)),
        kept=[record.version for record in snapshot.records],
    )  # fmt: skip


def world_routes(worlds: Callable[[], WorldStore | None]) -> Sequence[Route]:
    """Return the route."""

    async def show(request: AskWorld, principal: Principal) -> WorldView:
        found = worlds()
        if found is None:
            raise UNAVAILABLE("nothing that keeps worlds runs here")
        try:
            snapshot = await guard(found, limit=LIMIT).snapshot(request.session)
        except (WorldError, WorldRefused) as exc:
            raise UNAVAILABLE(f"the store of worlds can't be read: {exc}") from None
        if snapshot is None:
            raise NOT_FOUND("this session has no world (any more)")
        return view(snapshot)

    example = WorldView(
        session="s-1", owner="anna", version=12, turn=12, story="coast", edition="3", at=1_790_000_000.0, size=18_451,
        entities={"player": 1, "place": 12, "thing": 48, "character": 5}, relations={"at": 40, "exit": 30},
        kept=(11, 12),
    )  # fmt: skip
    return [
        Route(
            method="GET", path="/worlds/{session}", permission="sessions:read", request=AskWorld, response=WorldView,
            handler=show, problems=(NOT_FOUND,), example=example,
            summary="Show the version and the sizes of a session's world.",
        )
    ]  # fmt: skip


def _counted(kinds: Iterable[str]) -> Mapping[str, int]:
    return dict(Counter(kinds))
