"""Those who wait for a slot under one strategy: a lane for each fairness key, and of their heads the best goes next."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Literal

from .fairness import Shares
from .strategies import Waiting

OrderBy = Callable[[Waiting, float], tuple[float, ...]]
Answer = Literal["slot", "late"]
_Entry = tuple[tuple[float, ...], int, "Ticket"]
_STALE = 64


class Ticket:
    """A call that waits: as its strategy sees it, whose share it counts to, and what is to happen when it is its turn.

    ``answer`` is called once: it has a ``slot``; or it has none and is ``late``, since it can't make its deadline any
    more and has something to give in its place (``gives_up``).
    """

    __slots__ = ("answer", "gives_up", "key", "strategy", "waiting")

    def __init__(
        self, waiting: Waiting, *, key: str, strategy: str, gives_up: bool, answer: Callable[[Answer], None]
    ) -> None:  # fmt: skip
        self.waiting, self.key, self.strategy, self.gives_up, self.answer = waiting, key, strategy, gives_up, answer

    def is_given_up(self, now: float) -> bool:
        """Say whether it wants no slot any more."""
        return self.gives_up and self.waiting.is_late(now)


class Lanes:
    """What waits under one strategy.

    ``_heads`` is a heap of the lanes' first entries; one that isn't its lane's first any more is passed over. Lanes
    whose key is ahead of its share stand in ``_ahead`` instead, by their places, until the time has come so far.
    """

    def __init__(self, order: OrderBy, shares: Shares) -> None:
        self._order, self._shares = order, shares
        self._numbers = itertools.count()
        self._lanes: dict[str, list[_Entry]] = {}
        self._heads: list[_Entry] = []
        self._ahead: list[tuple[float, str]] = []
        self._are_ahead: set[str] = set()

    def add(self, ticket: Ticket, now: float) -> None:
        """Let a call wait."""
        entry = (self._order(ticket.waiting, now), next(self._numbers), ticket)
        lane = self._lanes.setdefault(ticket.key, [])
        heapq.heappush(lane, entry)
        if lane[0] is entry:
            self._list(ticket.key)

    def remove(self, ticket: Ticket) -> None:
        """Let a call wait no more."""
        lane = self._lanes[ticket.key]
        at = next(at for at, entry in enumerate(lane) if entry[2] is ticket)
        lane[at] = lane[-1]
        lane.pop()
        heapq.heapify(lane)
        self._list(ticket.key)

    def next(self, now: float) -> Ticket | None:
        """Take out whose turn it is among those within their share, if there is anybody."""
        while self._ahead and self._ahead[0][0] <= self._shares.horizon:
            _, key = heapq.heappop(self._ahead)
            self._are_ahead.discard(key)
            self._list(key)
        while self._heads:
            entry = heapq.heappop(self._heads)
            before, number, ticket = entry
            lane = self._lanes.get(ticket.key)
            if lane is None or lane[0] is not entry or ticket.key in self._are_ahead:
                continue
            if (place := self._shares.place(ticket.key)) > self._shares.horizon:
                self._are_ahead.add(ticket.key)
                heapq.heappush(self._ahead, (place, ticket.key))
                continue
            heapq.heappop(lane)
            after = self._order(ticket.waiting, now)
            if after > before and not ticket.is_given_up(now):
                heapq.heappush(lane, (after, number, ticket))
                self._list(ticket.key)
                continue
            self._list(ticket.key)
            return ticket
        return None

    def first_place(self) -> float | None:
        """Return where the key stands that is least ahead of its share; None where nobody is."""
        return self._ahead[0][0] if self._ahead else None

    def _list(self, key: str) -> None:
        """Let a lane's first entry stand among the heads."""
        lane = self._lanes.get(key)
        if not lane:
            self._lanes.pop(key, None)
        elif key not in self._are_ahead:
            heapq.heappush(self._heads, lane[0])
            if len(self._heads) > _STALE + 2 * len(self._lanes):
                self._heads = [lane[0] for key, lane in self._lanes.items() if key not in self._are_ahead]
                heapq.heapify(self._heads)
