"""Long lists, a part at a time, by cursors that mean nothing to whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar

import msgspec

T = TypeVar("T")
Cursor = Annotated[
    str, msgspec.Meta(pattern="^([0-9a-f][0-9a-f])*$", max_length=1024, description="What `next` said; empty at first.")
]
Count = Annotated[int, msgspec.Meta(ge=1, le=500)]


class Paged(msgspec.Struct, frozen=True, kw_only=True):
    """The request of a list; a route's own may have further fields."""

    limit: Count = 50
    cursor: Cursor = ""

    @property
    def after(self) -> str:
        """The key behind which the part begins; empty for the beginning."""
        # Whatever fits the pattern is a position: so none is wrong, and none has to be remembered.
        return bytes.fromhex(self.cursor).decode("utf-8", "replace")


class Part(msgspec.Struct, Generic[T], frozen=True):
    """The response of a list: ``class RunList(Part[RunView], frozen=True)``. ``next`` is None at its end."""

    items: Sequence[T]
    next: str | None = None


def cursor_after(key: str) -> str:
    """Return the cursor of what comes behind this key."""
    cursor = key.encode("utf-8", "replace").hex()
    if len(cursor) > 1024:
        raise ValueError("a key for a cursor has up to 512 bytes")
    return cursor


def part_of(keys: Sequence[str], request: Paged) -> tuple[Sequence[str], str | None]:
    """Return which of ``keys`` are asked for, in their order, and the next cursor."""
    ordered = sorted(key for key in keys if key > request.after)
    chosen = ordered[: request.limit]
    return chosen, cursor_after(chosen[-1]) if len(ordered) > len(chosen) else None
