"""The registry's reference implementation, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from .model import AgentCard, AgentId


class MemoryRegistry:
    """Knows the agents of this process; its size is bounded by what is served."""

    def __init__(self) -> None:
        self._cards: dict[AgentId, AgentCard] = {}

    async def register(self, card: AgentCard) -> None:
        self._cards[card.id] = card

    async def deregister(self, id: AgentId) -> bool:
        return self._cards.pop(id, None) is not None

    async def get(self, id: AgentId) -> AgentCard | None:
        return self._cards.get(id)

    async def list(self, type: str | None = None) -> Sequence[AgentCard]:
        cards = (card for card in self._cards.values() if type in (None, card.id.type))
        return sorted(cards, key=lambda card: str(card.id))
