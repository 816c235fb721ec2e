"""The contract that every implementation of `AgentRegistry` passes."""

from __future__ import annotations

from .capabilities import Capability
from .model import AgentCard, AgentId, AgentRegistry


class AgentRegistryContract:
    """Subclass this, and give a fixture ``registry`` that returns an empty implementation."""

    async def test_an_agent_that_nobody_registered_is_none(self, registry: AgentRegistry) -> None:
        assert await registry.get(AgentId("a", "1")) is None

    async def test_a_registered_card_comes_back_as_it_was(self, registry: AgentRegistry) -> None:
        can = Capability("swim", version="1.2.0", tags=frozenset({"sea", "cold"}), metadata={"depth": 3})
        card = AgentCard(AgentId("a", "1"), "an agent", (can,), "busy", 12.5)
        await registry.register(card)
        assert await registry.get(card.id) == card

    async def test_registering_again_replaces_the_card(self, registry: AgentRegistry) -> None:
        await registry.register(AgentCard(AgentId("a", "1"), "old"))
        await registry.register(new := AgentCard(AgentId("a", "1"), "new"))
        assert list(await registry.list()) == [new]

    async def test_a_deregistered_agent_is_gone_once(self, registry: AgentRegistry) -> None:
        await registry.register(AgentCard(AgentId("a", "1")))
        gone = [await registry.deregister(AgentId("a", "1")), await registry.deregister(AgentId("a", "1"))]
        assert gone == [True, False]
        assert list(await registry.list()) == []

    async def test_the_list_is_ordered_by_address_and_can_be_of_one_type(self, registry: AgentRegistry) -> None:
        for type, instance in (("b", "1"), ("a", "2"), ("a", "1")):
            await registry.register(AgentCard(AgentId(type, instance)))
        assert [str(card.id) for card in await registry.list()] == ["a:1", "a:2", "b:1"]
        assert [str(card.id) for card in await registry.list("a")] == ["a:1", "a:2"]
        assert list(await registry.list("c")) == []
