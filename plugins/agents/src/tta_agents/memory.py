"""The reference implementations, in memory: who is served, and what was answered."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from tta_kernel import check_count, check_duration

from .model import AgentCard, AgentId, RegistrySnapshot, Reply, Report
from .reporting import report_of

_log = logging.getLogger("tta.agents")

STATES = 1_000
"""How many agents' states are remembered after they left; the oldest go first."""


class MemoryRegistry:
    """Knows the agents of this process; its size is bounded by what is served."""

    def __init__(self) -> None:
        self._agents: dict[AgentId, tuple[AgentCard, Callable[[], Report] | None]] = {}
        self._states: OrderedDict[AgentId, bytes] = OrderedDict()

    async def register(self, card: AgentCard, report: Callable[[], Report] | None = None) -> None:
        self._agents[card.id] = card, report
        self._look(card.id)

    async def deregister(self, id: AgentId, process: str = "") -> bool:
        there = id in self._agents and process in ("", self._agents[id][0].process)
        if there:
            self._look(id)
            del self._agents[id]
        return there

    async def get(self, id: AgentId) -> AgentCard | None:
        return self._look(id) if id in self._agents else None

    async def list(self, type: str | None = None) -> Sequence[AgentCard]:
        return sorted((self._look(id) for id in self._agents if type in (None, id.type)), key=_address)

    async def discover(self, type: str | None = None) -> Sequence[AgentCard]:
        able = (card for card in await self.list(type) if card.status != "degraded")
        return sorted(able, key=lambda card: card.load)

    async def snapshot(self) -> RegistrySnapshot:
        return RegistrySnapshot(local=await self.list())

    async def state(self, id: AgentId) -> bytes | None:
        if id in self._agents:
            self._look(id)
        return self._states.get(id)

    async def refuse_state(self, id: AgentId, reason: str) -> None:
        self._states.pop(id, None)

    def _look(self, id: AgentId) -> AgentCard:
        card, report = self._agents[id]
        said = report_of(card, report, _log)
        if said.state is not None:
            self._states[id] = said.state
            self._states.move_to_end(id)
            while len(self._states) > STATES:
                self._states.popitem(last=False)
        return said.card


def _address(card: AgentCard) -> str:
    return str(card.id)


class MemoryReplies:
    """Keeps at most ``kept`` replies; the oldest go first."""

    def __init__(self, kept: int, clock: Callable[[], float] = time.monotonic) -> None:
        check_count("kept", kept)
        self._kept, self._clock = kept, clock
        self._replies: OrderedDict[tuple[str, str, str], tuple[float, Reply]] = OrderedDict()

    async def get(self, type: str, key: str, owner: str = "") -> Reply | None:
        return self.find(type, key, owner)

    async def put(self, type: str, key: str, reply: Reply, ttl: float, owner: str = "") -> Reply:
        check_duration("ttl", ttl)
        return self.keep(type, key, reply, ttl, owner)

    def find(self, type: str, key: str, owner: str = "") -> Reply | None:
        """Do what `get` does."""
        until, reply = self._replies.get((owner, type, key), (0.0, None))
        return reply if reply is not None and self._clock() <= until else None

    def keep(self, type: str, key: str, reply: Reply, ttl: float, owner: str = "") -> Reply:
        """Do what `put` does."""
        if (kept := self.find(type, key, owner)) is not None:
            return kept
        now = self._clock()
        self._replies[owner, type, key] = now + ttl, reply
        self._replies.move_to_end((owner, type, key))
        while len(self._replies) > self._kept or now > next(iter(self._replies.values()))[0]:
            self._replies.popitem(last=False)
        return reply

    async def forget(self, owner: str) -> int:
        found = [slot for slot in self._replies if owner and slot[0] == owner]
        for slot in found:
            del self._replies[slot]
        return len(found)
