"""What every store does with the versions of a world, as functions of what it keeps."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tta_sessions import is_text

from .model import World
from .patch import Patch, PatchError, diff, patched
from .store import LONGEST_NAME, Applied, Conflict, Head, Record, Snapshot, Stored, WorldRefused, digest, same


class Next(msgspec.Struct, frozen=True):
    """What a change makes of a world, to be stored in one step."""

    head: Head
    world: World
    records: tuple[Record, ...]
    """What is to be added to the changes that are kept."""


def check_names(session: str, turn: str, owner: str) -> None:
    """Raise `WorldRefused`, which quotes nothing, where a change couldn't be stored or found again."""
    if not (session and turn and all(map(is_text, (session, turn, owner)))):
        raise WorldRefused("a world has a session, and its change a turn, and both, like an owner, are texts in UTF-8")
    if len(turn) > LONGEST_NAME:
        raise WorldRefused(f"the name of a turn has at most {LONGEST_NAME} characters")


def check_owner(head: Head | None, owner: str) -> None:
    """Raise `WorldRefused` where a world is somebody else's."""
    if head is not None and head.owner != owner:
        raise WorldRefused("the world is somebody else's")


def conflict(head: Head | None, expected: int, records: Sequence[Record]) -> Conflict:
    """Return what has become of a world since a version; ``records`` are all that are kept."""
    since = tuple(each for each in records if each.version > expected)
    # Where the first of them begins later than was expected, some are kept no more.
    return Conflict(head.version if head else 0, since if since and since[0].base == expected else ())


def changed(before: Stored | None, head: Head, patch: Patch, *, max_size: int) -> Next:
    """Return what ``patch`` makes of a world; ``head`` is the new one's, whose digest is still to be found.

    Raises `WorldRefused` where that is no world, or has more than ``max_size`` bytes.
    """
    world = before.world if before else None
    try:
        after = patched(world, patch)
    except PatchError as exc:
        raise WorldRefused(str(exc)) from None
    if after is None:
        raise WorldRefused("the patch takes the whole world away: delete it, where that is meant")
    return _next(before, head, after, patch, max_size)


def put(before: Stored | None, snapshot: Snapshot, *, max_size: int) -> Next:
    """Return what makes a snapshot's world of one that is there; raise `WorldRefused` where that is too large.

    Where none is there, the changes that led to it come with it.
    """
    world = before.world if before else None
    found = _next(before, snapshot.head, snapshot.world, diff(world, snapshot.world), max_size)
    if before is None and _lead_to(snapshot.records, snapshot.head.version):
        return msgspec.structs.replace(found, records=snapshot.records)
    return found


def _lead_to(records: Sequence[Record], version: int) -> bool:
    bases = [record.base for record in records[1:]]
    versions = [record.version for record in records]
    return bool(records) and versions == [*bases, version]


def before_restoring(before: Stored | None, snapshot: Snapshot) -> Applied | Conflict | None:
    """Say what restoring comes to where nothing is to be stored; None where it is to be."""
    own = snapshot.head.version
    check_owner(before.head if before else None, snapshot.head.owner)
    if own < 1:
        raise WorldRefused("the version of a world is at least 1")
    if before is None or before.head.version < own:
        return None
    if before.head.version == own and same(before.world, snapshot.world):
        return Applied(own, again=True)
    return Conflict(before.head.version)


def as_of(stored: Stored, records: Sequence[Record], version: int) -> Stored | None:
    """Return a world as it was after an earlier version; None where what is kept doesn't lead there."""
    head, world = stored.head, stored.world
    for record in reversed(records):
        if head.version == version or record.version != head.version:
            break
        try:
            earlier = patched(world, record.undo)
        except PatchError:
            return None  # It came with a snapshot that somebody has changed.
        if earlier is None:
            return None
        made = next((each for each in records if each.version == record.base), None)
        head = Head(
            head.session, record.base, made.turn if made else "", head.owner, digest(earlier), made.at if made else 0.0
        )  # fmt: skip
        world = earlier
    return Stored(head, world) if head.version == version else None


def _next(before: Stored | None, head: Head, after: World, patch: Patch, max_size: int) -> Next:
    size = len(msgspec.msgpack.encode(after))
    if size > max_size:
        raise WorldRefused(f"the world has {size} bytes; {max_size} are the most")
    found = digest(after)
    head = msgspec.structs.replace(head, digest=found)
    base = before.head.version if before else 0
    undo = diff(after, before.world if before else None)
    return Next(head, after, (Record(head.version, base, head.turn, patch, undo, found, head.at),))
