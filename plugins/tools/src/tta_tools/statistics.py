"""How the tools of this process do: counted with each call, and added to the store's figures now and then."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Mapping

from .figures import BOUNDS, Figures
from .store import ToolStore, ToolStoreError

log = logging.getLogger("tta.tools")
MOST = 10_000
"""Tools that are counted while the store can't be used; more aren't."""


class _Count:
    __slots__ = ("cached", "failures", "last_used_at", "seconds", "successes", "times")

    def __init__(self) -> None:
        self.successes = 0
        self.cached = 0
        self.failures: dict[str, int] = {}
        self.seconds = 0.0
        self.times: list[int] = [0] * (len(BOUNDS) + 1)
        self.last_used_at = 0.0

    def figures(self) -> Figures:
        return Figures(
            successes=self.successes, failures=dict(self.failures), cached=self.cached, seconds=self.seconds,
            times=tuple(self.times), last_used_at=self.last_used_at,
        )  # fmt: skip


class Statistics:
    """Counts by ``name:version``."""

    def __init__(self) -> None:
        self._counts: dict[str, _Count] = {}
        self.lost = 0
        """Calls that weren't counted."""

    def note(self, id: str, code: str, *, at: float, seconds: float | None, cached: bool) -> None:
        """Count a call; ``seconds`` is how long the tool worked, None where it wasn't called."""
        count = self._counts.get(id)
        if count is None:
            if len(self._counts) >= MOST:
                self.lost += 1
                return
            count = self._counts[id] = _Count()
        count.last_used_at = at
        if code:
            count.failures[code] = count.failures.get(code, 0) + 1
        else:
            count.successes += 1
        if cached:
            count.cached += 1
        if seconds is not None:
            count.seconds += seconds
            count.times[bisect_left(BOUNDS, seconds)] += 1

    def pending(self) -> Mapping[str, Figures]:
        """Return what the store hasn't got yet."""
        return {id: count.figures() for id, count in self._counts.items()}

    async def flush(self, store: ToolStore) -> None:
        """Hand the figures to the store, with when each tool was last used; what it doesn't take is tried again."""
        counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            await store.count({id: count.figures() for id, count in counts.items()})
        except ToolStoreError as exc:
            log.debug("figures of tools wait for their store: %s", exc)
            self._take_back(counts)
            return
        for id, count in counts.items():
            name, _, version = id.partition(":")
            # A use that is missing lets a tool count as idle too early, and a later one mends that.
            try:
                await store.touch(name, version, used_at=count.last_used_at)
            except ToolStoreError as exc:
                log.debug("when %s was used is told later: %s", id, exc)

    def _take_back(self, counts: dict[str, _Count]) -> None:
        """Keep counts that the store didn't take, beside those that came meanwhile."""
        for id, count in counts.items():
            later = self._counts.get(id)
            if later is not None:
                count.successes += later.successes
                count.cached += later.cached
                count.seconds += later.seconds
                count.times = [one + two for one, two in zip(count.times, later.times, strict=True)]
                count.last_used_at = max(count.last_used_at, later.last_used_at)
                for code, number in later.failures.items():
                    count.failures[code] = count.failures.get(code, 0) + number
            self._counts[id] = count
