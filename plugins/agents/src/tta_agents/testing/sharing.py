"""What a registry, and a store of replies, promise that several processes share."""

from __future__ import annotations

from tta_agents.model import AgentCard, AgentId, AgentRegistry, Replies, Reply, Report
from tta_kernel.testing.shared import Shared, Tell

from .registry import AgentRegistryContract, RepliesContract

KEYS = 200
"""How many calls two processes answer at once."""
_ID = AgentId("a", "1")


async def register(registry: AgentRegistry, tell: Tell) -> None:
    """Register an agent in another process, and tell whom it sees."""
    await registry.register(AgentCard(_ID, process="elsewhere", shared=True))
    tell([str(card.id) for card in await registry.list()])


async def keep(replies: Replies, tell: Tell, who: str) -> None:
    """Keep a reply of one's own to each of the same calls, and tell which one is kept."""
    for number in range(KEYS):
        kept = await replies.put("a", str(number), Reply(_ID, who, 0.0), 60.0)
        tell(kept.output)


class SharedAgentRegistryContract(AgentRegistryContract):
    """Subclass this for a registry that several processes share: it is the whole contract.

    Beside the fixture ``registry`` it takes ``shared``, a `Shared` that opens one empty registry, again and again.
    """

    async def test_what_one_registry_knows_another_on_the_same_place_sees(self, shared: Shared[AgentRegistry]) -> None:
        async with shared.again() as one, shared.again() as other:
            card = AgentCard(_ID, process="p", shared=True)
            await one.register(card, lambda: Report(card, b"state"))
            assert await other.get(_ID) is not None, "each registry knows agents of its own"
            assert [each.id for each in (await other.snapshot()).remote] == [_ID]
            assert await one.deregister(_ID, "p")
            assert await other.get(_ID) is None, "a registry that keeps a copy lists who has gone"
            assert await other.state(_ID) == b"state"

    async def test_of_two_registries_the_newest_has_an_address(self, shared: Shared[AgentRegistry]) -> None:
        async with shared.again() as old, shared.again() as new:
            await old.register(AgentCard(_ID, process="old", shared=True))
            await new.register(AgentCard(_ID, process="new", shared=True))
            assert not await old.deregister(_ID, "old"), "an agent took out what is another process's by now"
            found = await old.get(_ID)
            assert found is not None
            assert found.process == "new"

    async def test_an_agent_of_another_process_is_seen(self, shared: Shared[AgentRegistry]) -> None:
        async with shared.again() as here:
            await here.register(AgentCard(AgentId("b", "1"), process="here", shared=True))
            async with shared.elsewhere(register) as other:
                await other.until_told()
                assert other.told == [["a:1", "b:1"]], "what this process registered the others don't see"
                found = await here.get(_ID)
                assert found is not None, "what another process registered isn't seen here"
                assert found.process == "elsewhere"


class SharedRepliesContract(RepliesContract):
    """Subclass this for a store of replies that several processes share: it is the whole contract.

    Beside the fixture ``replies`` it takes ``shared``, a `Shared` that opens one empty store, again and again.
    """

    async def test_what_one_store_keeps_another_on_the_same_place_has(self, shared: Shared[Replies]) -> None:
        async with shared.again() as one, shared.again() as other:
            first, second = Reply(_ID, "first", 0.0), Reply(_ID, "second", 0.0)
            assert await one.put("a", "k", first, 60.0, "ann") == first
            assert await other.put("a", "k", second, 60.0, "ann") == first, "each store keeps replies of its own"
            assert await other.forget("ann") == 1
            assert await one.get("a", "k", "ann") is None, "a store that keeps a copy answers with what was forgotten"

    async def test_of_two_processes_that_answer_at_once_one_has_answered(self, shared: Shared[Replies]) -> None:
        async with shared.elsewhere(keep, "one") as one, shared.elsewhere(keep, "other") as other:
            await one.until_told(KEYS)
            await other.until_told(KEYS)
        both = sum(left != right for left, right in zip(one.told, other.told, strict=True))
        assert not both, (
            f"{both} calls of {KEYS} have two answers: between a look and the write the other process got in, or each "
            "keeps replies of its own"
        )
