"""What a registry and a store of replies promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tta_agents.capabilities import Capability
from tta_agents.model import AgentCard, AgentId, AgentRegistry, Replies, Reply, Report, Statistics, Undo
from tta_kernel.testing import Outcome, Stranger, strangers
from tta_kernel.testing.numbers import NO_DURATIONS


def _card(id: AgentId, description: str = "", **fields: Any) -> AgentCard:
    """Return a card that others may see."""
    return AgentCard(id, description, shared=True, **fields)


def _as_told(card: AgentCard | None) -> AgentCard | None:
    """Return a card without what the registry stamps."""
    return card and msgspec.structs.replace(card, seen_at=0.0)


async def _registered(registry: AgentRegistry, card: AgentCard, report: Callable[[], Report]) -> None:
    """Register an agent, and let the registry look at it."""
    await registry.register(card, report)
    await registry.list()


class AgentRegistryContract:
    """Subclass this, and give a fixture ``registry`` that returns an empty implementation."""

    async def test_an_agent_that_nobody_registered_is_none(self, registry: AgentRegistry) -> None:
        assert await registry.get(AgentId("a", "1")) is None

    async def test_a_registered_card_comes_back_as_it_was(self, registry: AgentRegistry) -> None:
        can = Capability("swim", version="1.2.0", tags=frozenset({"sea", "cold"}), metadata={"depth": 3})
        card = _card(
            AgentId("a", "1"), "an agent", capabilities=(can,), status="busy", registered_at=12.5, process="p",
            running=1, limit=2, timeout=3.0, resources={"memory": "1GB"}, agent_version="2.1",
            statistics=Statistics(calls=3, errors=1, mean=0.2, p95=0.5, p50=0.1),
        )  # fmt: skip
        await registry.register(card)
        assert _as_told(await registry.get(card.id)) == card
        assert card.load == 0.5

    async def test_registering_again_replaces_the_card(self, registry: AgentRegistry) -> None:
        await registry.register(_card(AgentId("a", "1"), "old"))
        await registry.register(new := _card(AgentId("a", "1"), "new"))
        assert [_as_told(card) for card in await registry.list()] == [new]

    async def test_a_deregistered_agent_is_gone_once(self, registry: AgentRegistry) -> None:
        await registry.register(_card(AgentId("a", "1")))
        gone = [await registry.deregister(AgentId("a", "1")), await registry.deregister(AgentId("a", "1"))]
        assert gone == [True, False]
        assert list(await registry.list()) == []

    async def test_nobody_deregisters_what_another_process_has_by_now(self, registry: AgentRegistry) -> None:
        await registry.register(_card(AgentId("a", "1"), process="new"))
        assert not await registry.deregister(AgentId("a", "1"), "old")
        assert await registry.get(AgentId("a", "1")) is not None
        assert await registry.deregister(AgentId("a", "1"), "new")

    async def test_the_list_is_ordered_by_address_and_can_be_of_one_type(self, registry: AgentRegistry) -> None:
        for type, instance in (("b", "1"), ("a", "2"), ("a", "1")):
            await registry.register(_card(AgentId(type, instance)))
        assert [str(card.id) for card in await registry.list()] == ["a:1", "a:2", "b:1"]
        assert [str(card.id) for card in await registry.list("a")] == ["a:1", "a:2"]
        assert list(await registry.list("c")) == []

    async def test_types_of_which_one_begins_with_the_other_are_two(self, registry: AgentRegistry) -> None:
        await registry.register(_card(AgentId("a", "b:c")))
        await registry.register(_card(AgentId("a:b", "c")))
        assert [card.id.type for card in await registry.list("a")] == ["a"]
        assert await registry.deregister(AgentId("a", "b:c"))
        assert [card.id.type for card in await registry.list()] == ["a:b"]

    async def test_discover_leaves_degraded_agents_out_and_begins_with_the_least_loaded(
        self, registry: AgentRegistry
    ) -> None:
        for instance, status, running in (("1", "busy", 4), ("2", "degraded", 0), ("3", "busy", 1), ("4", "idle", 0)):
            id = AgentId("a", instance)
            await registry.register(_card(id, status=status, running=running, limit=4))
        assert [card.id.instance for card in await registry.discover("a")] == ["4", "3", "1"]
        assert list(await registry.discover("b")) == []

    async def test_an_agent_that_is_not_shared_is_known_where_it_is_registered(self, registry: AgentRegistry) -> None:
        await registry.register(card := AgentCard(AgentId("a", "1"), "shy"))
        assert await registry.get(card.id) == card
        assert [each.id for each in await registry.list("a")] == [card.id]
        assert [each.id for each in await registry.discover("a")] == [card.id]
        assert [await registry.deregister(card.id), await registry.deregister(card.id)] == [True, False]

    async def test_a_card_is_what_its_agent_reports(self, registry: AgentRegistry) -> None:
        id = AgentId("a", "1")
        await registry.register(_card(id, "old"), lambda: Report(_card(id, "new")))
        [card] = await registry.list()
        assert card.description == "new"

    async def test_the_snapshot_shows_what_is_registered_here_as_local(self, registry: AgentRegistry) -> None:
        await registry.register(_card(AgentId("a", "1")))
        snapshot = await registry.snapshot()
        assert [str(card.id) for card in snapshot.local] == ["a:1"]
        assert list(snapshot.remote) == []

    async def test_an_agent_s_state_is_there_for_the_next_of_its_name(self, registry: AgentRegistry) -> None:
        id = AgentId("a", "1")
        assert await registry.state(id) is None
        await registry.register(_card(id), lambda: Report(_card(id), b"state"))
        assert await registry.deregister(id)
        assert await registry.state(id) == b"state"

    async def test_a_state_that_its_agent_cannot_take_back_is_out_of_the_way(self, registry: AgentRegistry) -> None:
        id = AgentId("a", "1")
        await registry.refuse_state(id, "there is none")
        await registry.register(_card(id), lambda: Report(_card(id), b"state"))
        await registry.deregister(id)
        await registry.refuse_state(id, "it is none")
        assert await registry.state(id) is None

    @pytest.mark.boundary("tta_agents.AgentRegistry.register.report")
    @pytest.mark.parametrize("stranger", strangers("plain", returns=Report), ids=str)
    async def test_an_agent_whose_report_is_odd_stays_as_it_was_registered_and_others_are_told(
        self, registry: AgentRegistry, stranger: Stranger, caplog: pytest.LogCaptureFixture
    ) -> None:
        card = _card(AgentId("a", "1"), "tells")
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                await _registered(registry, card, stranger)
            return
        await registry.register(card, stranger)
        await registry.register(_card(AgentId("a", "2")))
        assert _as_told(await registry.get(card.id)) == card
        assert [each.id.instance for each in await registry.list("a")] == ["1", "2"]
        # A report of whatever else is of another agent, too.
        assert "agent a:1 doesn't say how it is" in caplog.text

    async def test_what_a_report_raises_is_told_without_its_text(
        self, registry: AgentRegistry, caplog: pytest.LogCaptureFixture
    ) -> None:
        def report() -> Report:
            raise ValueError("secret")

        await registry.register(_card(AgentId("a", "1")), report)
        await registry.list()
        assert "its report raised ValueError" in caplog.text
        assert "secret" not in caplog.text

    @pytest.mark.parametrize("text", ["\ud800", "x\udcff"])
    async def test_a_report_that_cannot_be_sent_leaves_its_agent_as_it_was_registered(
        self, registry: AgentRegistry, text: str
    ) -> None:
        card = _card(AgentId("a", "1"), "tells")
        await registry.register(card, lambda: Report(_card(card.id, text)))
        await registry.register(_card(AgentId("a", "2")))
        assert [each.description for each in map(_as_told, await registry.list("a")) if each] == ["tells", ""]


class RepliesContract:
    """Subclass this, and give a fixture ``replies`` that returns an empty implementation."""

    async def test_a_reply_that_nobody_kept_is_none(self, replies: Replies) -> None:
        assert await replies.get("a", "k") is None

    async def test_a_kept_reply_comes_back_as_it_was(self, replies: Replies) -> None:
        undos = (Undo(AgentId("a"), {"x": 1}), Undo(AgentId("a"), {"x": 1}, 1))
        reply = Reply(AgentId("a", "1"), {"text": "hi", "parts": [1, None, 2.5]}, 0.5, undos, "2.1")
        assert await replies.put("a", "k", reply, 60) == reply
        assert await replies.get("a", "k") == reply

    async def test_the_first_reply_stays(self, replies: Replies) -> None:
        first, second = Reply(AgentId("a", "1"), "first", 0.0), Reply(AgentId("a", "2"), "second", 0.0)
        await replies.put("a", "k", first, 60)
        assert await replies.put("a", "k", second, 60) == first
        assert await replies.get("a", "k") == first

    async def test_a_time_that_is_none_keeps_nothing(self, replies: Replies) -> None:
        for seconds in NO_DURATIONS:
            with pytest.raises(ValueError, match="ttl"):
                await replies.put("a", "k", Reply(AgentId("a"), "x", 0.0), seconds)
        assert await replies.get("a", "k") is None

    async def test_types_and_keys_do_not_run_into_each_other(self, replies: Replies) -> None:
        await replies.put("a", "b:c", Reply(AgentId("a"), 1, 0.0), 60)
        assert await replies.get("a:b", "c") is None
        assert await replies.get("a", "b") is None

    async def test_what_is_kept_for_one_person_answers_no_other(self, replies: Replies) -> None:
        first, second = Reply(AgentId("a"), "first", 0.0), Reply(AgentId("a"), "second", 0.0)
        await replies.put("a", "k", first, 60, "ann")
        assert await replies.get("a", "k") is None
        assert await replies.put("a", "k", second, 60, "bob") == second
        assert await replies.get("a", "k", "ann") == first

    async def test_a_person_s_replies_are_forgotten_and_nobody_else_s(self, replies: Replies) -> None:
        reply = Reply(AgentId("a"), "x", 0.0)
        for owner, type, key in (("ann", "a", "1"), ("ann", "b", "2"), ("ann:x", "a", "1"), ("", "a", "1")):
            await replies.put(type, key, reply, 60, owner)
        assert [await replies.forget(""), await replies.forget("ann"), await replies.forget("ann")] == [0, 2, 0]
        assert await replies.get("a", "1", "ann") is None
        assert await replies.get("a", "1", "ann:x") == reply
        assert await replies.get("a", "1") == reply
