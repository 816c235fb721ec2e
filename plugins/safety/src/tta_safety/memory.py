"""The reference of where blocked texts wait for a human, in memory."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence

import msgspec

from tta_kernel import check_count, check_duration

from .reviews import Review, position


class _Kept(msgspec.Struct, frozen=True):
    place: str
    owner: str
    until: float
    packed: bytes


class MemoryReviews:
    """Keeps ``most`` reviews of ``size`` bytes in all, each for ``keep`` seconds; the oldest go first.

    They are kept encoded: nobody can change one that is there, and what can't travel fails here.
    """

    def __init__(self, clock: Callable[[], float], *, most: int, size: int, keep: float) -> None:
        check_count("most", most)
        check_count("size", size)
        check_duration("keep", keep, positive=True)
        self._clock, self._most, self._limit, self._keep = clock, most, size, keep
        self._kept: dict[str, _Kept] = {}
        self._places: list[tuple[str, str]] = []
        """Where each stands among all of them, and its id; the oldest first."""
        self._size = 0

    def __len__(self) -> int:
        self._drop_ended()
        return len(self._kept)

    async def add(self, review: Review) -> None:
        packed = msgspec.msgpack.encode(review)
        msgspec.msgpack.decode(packed, type=Review)  # Only to see whether it comes back.
        self._drop_ended()
        self._drop(review.id)
        kept = _Kept(position(review), review.owner, self._clock() + self._keep, packed)
        self._kept[review.id] = kept
        insort(self._places, (kept.place, review.id))
        self._size += len(packed)
        while self._places and (len(self._kept) > self._most or self._size > self._limit):
            self._drop(self._places[0][1])

    async def get(self, id: str) -> Review | None:
        self._drop_ended()
        kept = self._kept.get(id)
        return _read(kept) if kept is not None else None

    async def list(self, *, limit: int = 100, before: str = "", owner: str = "") -> Sequence[Review]:
        self._drop_ended()
        end = bisect_left(self._places, (before, "")) if before else len(self._places)
        found: list[Review] = []
        for _, id in reversed(self._places[:end]):
            kept = self._kept[id]
            if owner and kept.owner != owner:
                continue
            if len(found) >= limit:
                break
            found.append(_read(kept))
        return found

    async def delete(self, id: str) -> bool:
        self._drop_ended()
        return self._drop(id)

    async def forget(self, user: str) -> int:
        self._drop_ended()
        theirs = [id for id, kept in self._kept.items() if user and kept.owner == user]
        for id in theirs:
            self._drop(id)
        return len(theirs)

    def _drop(self, id: str) -> bool:
        kept = self._kept.pop(id, None)
        if kept is None:
            return False
        del self._places[bisect_left(self._places, (kept.place, id))]
        self._size -= len(kept.packed)
        return True

    def _drop_ended(self) -> None:
        now = self._clock()
        for id in [id for id, kept in self._kept.items() if kept.until <= now]:
            self._drop(id)


def _read(kept: _Kept) -> Review:
    return msgspec.msgpack.decode(kept.packed, type=Review)
