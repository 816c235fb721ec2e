"""Worlds that were read a while ago, so that a question needn't fetch one each time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import msgspec

from tta_kernel import check_count, check_duration

from .store import Stored


class WorldCache:
    """Keeps at most ``limit`` worlds, each for ``life`` seconds; whoever changes one must drop it, or put the new one.

    ``reads`` and ``hits`` are counted.
    """

    def __init__(self, clock: Callable[[], float], *, life: float, limit: int) -> None:
        check_duration("cache", life)
        check_count("cached", limit, least=0)
        self._clock, self._life, self._limit = clock, life, limit
        self._kept: OrderedDict[str, tuple[float, Stored]] = OrderedDict()
        self.reads = self.hits = 0

    def get(self, session: str) -> Stored | None:
        """Return a world that is young enough."""
        self.reads += 1
        at, stored = self._kept.get(session, (0.0, None))
        if stored is None:
            return None
        if self._clock() - at >= self._life:
            del self._kept[session]
            return None
        self.hits += 1
        return msgspec.structs.replace(stored, cached=True)

    def at(self, session: str, version: int, digest: str) -> Stored | None:
        """Return a world of which somebody knows that it is still the latest, however old."""
        _, stored = self._kept.get(session, (0.0, None))
        if stored is None or (stored.head.version, stored.head.digest) != (version, digest):
            return None
        return stored

    def put(self, stored: Stored) -> None:
        """Keep what was just read, or written."""
        session = stored.head.session
        self._kept[session] = (self._clock(), stored)
        self._kept.move_to_end(session)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)

    def drop(self, session: str) -> None:
        """Know that a world has changed, or may have."""
        self._kept.pop(session, None)

    def clear(self) -> None:
        """Know nothing any more."""
        self._kept.clear()
