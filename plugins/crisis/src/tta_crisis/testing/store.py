"""The contract that every implementation of `CrisisStore` passes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from tta_crisis.model import (
    Assessment,
    Clue,
    CrisisError,
    CrisisQuery,
    Exchange,
    Feedback,
    Intervention,
    Packet,
    Trace,
    intervention_id,
)
from tta_crisis.store import Changed, CrisisStore

Passing = tuple[CrisisStore, Callable[[float], Awaitable[None]]]
"""A store, and what lets seconds pass for it."""
AT = 1_790_000_000.0


def intervention(admission: str = "r-1", kind: str = "suicide", **more: Any) -> Intervention:
    """Make a new intervention."""
    fields: dict[str, Any] = {"session": "s-1", "owner": "anna", "opened_at": AT, "level": "high", **more}
    assessment = Assessment(kind=kind, level=fields["level"], severity=4, ideation=True, rules=("plan@1",))
    return Intervention(
        id=intervention_id(admission, "player", kind), kind=kind, assessment=assessment, admission=admission, **fields
    )  # fmt: skip


def packet_of(opened: Intervention) -> Packet:
    """Make the packet of an intervention."""
    return Packet(
        intervention=opened.id, kind=opened.kind, level=opened.level, severity=4,
        clues=(Clue(rule="plan@1", category=opened.kind, severity=4),), turns=(Exchange(1, "a \N{SNOWMAN}", "b"),),
        reads="agreed", at=opened.opened_at,
    )  # fmt: skip


class CrisisStoreContract:
    """Subclass this, and give three fixtures, each an empty implementation.

    ``store`` takes many; ``small`` takes two interventions; ``passing`` is a `Passing`, which keeps resolved
    interventions for one second, and packets for one.
    """

    async def test_what_nobody_has_opened_is_none(self, store: CrisisStore) -> None:
        assert await store.get("r.player.panic") is None
        assert await store.packet("r.player.panic") is None
        assert list((await store.page(CrisisQuery())).interventions) == []
        assert list((await store.judgements()).feedback) == []
        assert list(await store.traces()) == []
        assert await store.forget("anna") == 0

    async def test_an_intervention_comes_back_as_it_was_opened_with_its_packet(self, store: CrisisStore) -> None:
        whole = intervention(
            turn=3, locale="en-GB", country="GB", protocol="crisis-high", run="crisis:x", acknowledged_at=1.5,
            acknowledged_by="dr b", escalated_at=2.5, followed_up_at=3.5,
        )  # fmt: skip
        stored = await store.open(whole, packet_of(whole))
        assert stored == replace(whole, version=1)
        assert await store.get(whole.id) == stored
        assert await store.packet(whole.id) == packet_of(whole)

    async def test_who_opens_it_again_gets_what_there_is(self, store: CrisisStore) -> None:
        first = await store.open(intervention(), packet_of(intervention()))
        seen = await store.put(replace(first, status="acknowledged", acknowledged_by="dr b"))
        again = intervention(level="low", opened_at=AT + 9)
        assert await store.open(again, packet_of(again)) == seen
        assert len((await store.page(CrisisQuery())).interventions) == 1

    async def test_of_many_that_open_it_at_once_all_get_the_same(self, store: CrisisStore) -> None:
        opened: list[Intervention] = []

        async def open(number: int) -> None:
            new = intervention(opened_at=AT + number)
            opened.append(await store.open(new, packet_of(new)))

        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(open, number)
        assert opened == [opened[0]] * 5

    async def test_who_has_not_seen_the_last_version_changes_nothing(self, store: CrisisStore) -> None:
        first = await store.open(intervention(), packet_of(intervention()))
        second = await store.put(replace(first, status="acknowledged"))
        for stale in (first, replace(second, version=7), replace(intervention("other"), version=1)):
            with pytest.raises(Changed):
                await store.put(replace(stale, status="resolved"))
        assert await store.get(first.id) == second

    async def test_of_many_that_change_it_at_once_one_does(self, store: CrisisStore) -> None:
        first = await store.open(intervention(), packet_of(intervention()))
        done: list[int] = []

        async def put(number: int) -> None:
            try:
                await store.put(replace(first, turn=number))
                done.append(number)
            except Changed:
                pass

        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(put, number)
        stored = await store.get(first.id)
        assert stored is not None
        assert [stored.turn] == done

    async def test_a_page_has_the_newest_first_and_its_cursor_goes_on(self, store: CrisisStore) -> None:
        for number in range(5):
            new = intervention(f"r-{number}", opened_at=AT + number)
            await store.open(new, packet_of(new))
        found: list[str] = []
        cursor = ""
        while True:
            page = await store.page(CrisisQuery(cursor=cursor, most=2))
            found += [each.admission for each in page.interventions]
            cursor = page.cursor
            if not cursor:
                break
        assert found == ["r-4", "r-3", "r-2", "r-1", "r-0"]

    async def test_a_page_has_what_is_asked_for(self, store: CrisisStore) -> None:
        for number in range(6):
            new = intervention(f"r-{number}", session=f"s-{number % 2}", opened_at=AT + number)
            stored = await store.open(new, packet_of(new))
            if number > 2:
                await store.put(replace(stored, status="acknowledged"))

        async def names(**query: Any) -> list[str]:
            found: list[Intervention] = []
            page = await store.page(CrisisQuery(most=1, **query))
            found += page.interventions
            while page.cursor:
                page = await store.page(CrisisQuery(most=1, cursor=page.cursor, **query))
                found += page.interventions
            return [each.admission for each in found]

        assert await names(status="open") == ["r-2", "r-1", "r-0"]
        assert await names(status="acknowledged") == ["r-5", "r-4", "r-3"]
        assert await names(status="resolved") == []
        assert await names(session="s-1") == ["r-5", "r-3", "r-1"]
        assert await names(session="s-1", status="open") == ["r-1"]
        assert await names(since=AT + 4) == ["r-5", "r-4"]

    async def test_feedback_is_kept_the_newest_first(self, store: CrisisStore) -> None:
        for number in range(3):
            await store.judge(Feedback(intervention=f"i-{number}", judgement="false-alarm", by="dr b", owner="anna"))
        first = await store.judgements(most=2)
        rest = await store.judgements(first.cursor, most=2)
        assert [each.intervention for each in (*first.feedback, *rest.feedback)] == ["i-2", "i-1", "i-0"]
        assert rest.cursor == ""

    async def test_a_forgotten_person_leaves_a_day_and_a_kind(self, store: CrisisStore) -> None:
        for number, owner in enumerate(["anna", "anna", "bert", ""]):
            new = intervention(f"r-{number}", owner=owner, opened_at=AT + number)
            stored = await store.open(new, packet_of(new))
            if number == 1:
                await store.put(replace(stored, escalated_at=AT + 60))
            await store.judge(Feedback(intervention=new.id, judgement="right", by="dr b", owner=owner))
        assert await store.forget("anna") == 4
        assert await store.forget("anna") == 0
        assert await store.forget("") == 0
        assert [each.owner for each in (await store.page(CrisisQuery())).interventions] == ["", "bert"]
        assert [each.owner for each in (await store.judgements()).feedback] == ["", "bert"]
        assert await store.get(intervention("r-0").id) is None
        assert await store.packet(intervention("r-0").id) is None
        assert list((await store.page(CrisisQuery(session="s-1", status="open"))).interventions) != []
        trace = Trace(day="2026-09-21", kind="suicide", level="high", status="open")
        assert sorted(await store.traces(), key=lambda each: each.escalated) == [trace, replace(trace, escalated=True)]

    async def test_what_nobody_has_resolved_is_never_dropped_for_others(self, small: CrisisStore) -> None:
        first, second, third = (intervention(f"r-{number}", opened_at=AT + number) for number in range(3))
        stored = await small.open(first, packet_of(first))
        await small.open(second, packet_of(second))
        with pytest.raises(CrisisError, match="nobody has resolved"):
            await small.open(third, packet_of(third))
        await small.put(replace(stored, status="resolved", resolved_at=AT))
        await small.open(third, packet_of(third))
        left = [each.admission for each in (await small.page(CrisisQuery())).interventions]
        assert left == ["r-2", "r-1"]

    async def test_what_is_resolved_goes_by_itself_and_what_is_open_stays(self, passing: Passing) -> None:
        store, sleep = passing
        now, later = intervention("r-1"), intervention("r-2")
        stored = await store.open(now, packet_of(now))
        await store.open(later, packet_of(later))
        await store.put(replace(stored, status="resolved", resolved_at=AT))
        await sleep(1.5)
        assert await store.get(now.id) is None
        assert await store.packet(now.id) is None
        assert await store.packet(later.id) is None
        assert [each.id for each in (await store.page(CrisisQuery())).interventions] == [later.id]
        assert [each.id for each in (await store.page(CrisisQuery(session="s-1"))).interventions] == [later.id]
