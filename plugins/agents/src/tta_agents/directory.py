"""Which agents other processes serve, as the registry said a moment ago."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Set

import anyio

from .model import AgentId, AgentRegistry, RegistryError

_MAX_AGE = 1.0


class AgentDirectory:
    """Addresses that can be called elsewhere, read again when that is older than a second."""

    def __init__(self, registry: AgentRegistry, process: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry, self._process, self._clock = registry, process, clock
        self._processes: Set[str] = frozenset()
        self._addresses: Set[AgentId] = frozenset()
        self._read_at, self._lock = -math.inf, anyio.Lock()

    async def serves(self, agent: AgentId) -> bool:
        """Whether another process serves an address; a no is always fresh."""
        if self._clock() - self._read_at >= _MAX_AGE or agent not in self._addresses:
            await self._read()
        return agent in self._addresses

    def invalidate(self) -> None:
        """Read again before the next answer."""
        self._read_at = -math.inf

    async def is_abandoned(self, agent: AgentId, process: str) -> bool:
        """Whether ``process``, which works on a call, is there no longer, nor anybody who could go on with it.

        ``agent`` is the address that was called. While the registry is away, everybody is believed to be there.
        """
        try:
            await self._read(max_age=_MAX_AGE)
        except RegistryError:
            return False
        return process not in self._processes and agent not in self._addresses

    async def _read(self, max_age: float = 0.0) -> None:
        wanted = self._clock() - max_age
        async with self._lock:
            if self._read_at < wanted:  # Otherwise another caller has read it while this one waited.
                cards = await self._registry.list()
                others = [card.id for card in cards if card.shared and card.process != self._process]
                self._addresses = {*others, *(AgentId(id.type) for id in others)}
                self._processes, self._read_at = {card.process for card in cards}, self._clock()
