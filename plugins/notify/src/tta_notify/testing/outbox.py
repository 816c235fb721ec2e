"""The contract that every implementation of `Outbox` passes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from tta_notify.model import Acknowledgement, Delivery, Entry, Link, Notification, Severity, Text, key_of
from tta_notify.outbox import Changed, Full, NotHeld, Outbox

Passing = tuple[Outbox, Callable[[float], Awaitable[None]]]
"""An outbox, and what lets seconds pass for it."""


def entry(
    id: str = "a", *, owner: str = "", group: str = "", severity: Severity = "high", at: float = 1.0, to: str = "",
    **more: Any,
) -> Entry:  # fmt: skip
    """Make an entry that is to be looked at from its beginning on."""
    notification = Notification(
        id=id, topic="crisis", severity=severity, subject="somebody needs you", owner=owner, group=group, to=to
    )
    fields: dict[str, Any] = {"wake": at, "key": key_of(id), "notification": notification, "created_at": at, **more}
    return Entry(**fields)


class OutboxContract:
    """Subclass this, and give three fixtures, each an empty implementation.

    ``outbox`` takes many notifications; ``small`` takes two; ``passing`` is a `Passing`, whose times are at least those
    that are asked for, and which keeps for one second what nobody needs to look at.
    """

    async def test_what_nobody_has_added_is_none(self, outbox: Outbox) -> None:
        assert await outbox.get(key_of("a")) is None
        assert list((await outbox.page()).entries) == []
        assert list(await outbox.take(1e10, 10, 60.0)) == []
        assert await outbox.wake() is None
        assert set((await outbox.counts()).values()) == {0}
        assert await outbox.forget("u") == 0

    async def test_an_entry_comes_back_as_it_was_added(self, outbox: Outbox) -> None:
        whole = entry(
            "all of it", owner="u", group="g", status="accepted", tier=2, round=3, escalate_at=9.5, told=True,
            deliveries=(
                Delivery(
                    id="d", channel="mail", person="anna", tier=2, round=3, status="accepted", tries=4, next=5.0,
                    said="250", at=6.0, begins=6.5,
                ),
            ),
            acknowledgement=Acknowledgement("anna", 7.0, "link"), links=(Link("00", "anna", 8.0),), repeats=3,
        )  # fmt: skip
        whole = replace(
            whole,
            notification=replace(
                whole.notification, about={"intervention": "\N{SNOWMAN}"}, texts={"de": Text("jemand", "…")}
            ),
        )
        added = await outbox.add(whole)
        assert (added.status, added.key) == ("stored", whole.key)
        assert await outbox.get(whole.key) == whole
        stored = await outbox.put(replace(whole, tier=3))
        assert stored == replace(whole, tier=3, version=whole.version + 1)
        assert await outbox.get(whole.key) == stored

    async def test_what_is_known_stays_as_it_is(self, outbox: Outbox) -> None:
        await outbox.add(entry())
        stored = await outbox.put(entry(tier=1))
        assert (await outbox.add(entry())).status == "known"
        assert await outbox.get(stored.key) == stored

    async def test_who_has_not_seen_the_last_version_changes_nothing(self, outbox: Outbox) -> None:
        await outbox.add(entry())
        second = await outbox.put(entry(tier=1))
        for stale in (entry(tier=5), replace(second, version=7)):
            with pytest.raises(Changed):
                await outbox.put(stale)
            with pytest.raises(Changed):
                await outbox.remove(stale)
        with pytest.raises(Changed):
            await outbox.put(entry("other"))
        assert await outbox.get(second.key) == second
        await outbox.remove(second)
        assert await outbox.get(second.key) is None

    async def test_of_many_that_put_at_once_one_does(self, outbox: Outbox) -> None:
        await outbox.add(entry())
        done: list[int] = []

        async def put(number: int) -> None:
            try:
                await outbox.put(entry(tier=number))
                done.append(number)
            except Changed:
                pass

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(put, number)
        found = await outbox.get(key_of("a"))
        assert found is not None
        assert [found.tier] == done

    async def test_each_entry_is_taken_by_one_when_it_is_due(self, outbox: Outbox) -> None:
        for number in range(6):
            await outbox.add(entry(str(number), at=float(number)))
        assert await outbox.wake() == 0.0
        first = await outbox.take(4.0, 3, 60.0)
        second = await outbox.take(4.0, 10, 60.0)
        assert [each.entry.key for each in first] == [key_of(str(number)) for number in range(3)]
        assert [each.entry.key for each in second] == [key_of(str(number)) for number in (3, 4)]
        assert len({each.lease for each in (*first, *second)}) == 5
        assert await outbox.wake() == 5.0
        assert list(await outbox.take(4.0, 10, 60.0)) == []

    async def test_what_is_given_back_is_due_again_at_its_time(self, outbox: Outbox) -> None:
        await outbox.add(entry())
        [taken] = await outbox.take(2.0, 1, 60.0)
        kept = await outbox.put(replace(taken.entry, tier=1, wake=3.0), lease=taken.lease)
        assert await outbox.wake() is None
        assert list(await outbox.take(9.0, 1, 60.0)) == []
        await outbox.put(kept, lease=taken.lease, release=True)
        assert await outbox.wake() == 3.0
        assert list(await outbox.take(2.5, 1, 60.0)) == []
        [again] = await outbox.take(3.0, 1, 60.0)
        assert again.lease != taken.lease
        await outbox.put(replace(again.entry, wake=None), lease=again.lease, release=True)
        assert list(await outbox.take(1e10, 1, 60.0)) == []

    async def test_who_was_away_for_too_long_changes_nothing(self, passing: Passing) -> None:
        outbox, sleep = passing
        await outbox.add(entry())
        [lost] = await outbox.take(2.0, 1, 0.2)
        await sleep(0.3)
        [taken] = await outbox.take(2.0, 1, 60.0)
        for call in (outbox.put(lost.entry, lease=lost.lease), outbox.remove(lost.entry, lease=lost.lease)):
            with pytest.raises(NotHeld):
                await call
        assert (await outbox.put(taken.entry, lease=taken.lease)).version == taken.entry.version + 1

    async def test_what_was_taken_can_be_changed_by_others_and_its_holder_hears_of_it(self, outbox: Outbox) -> None:
        await outbox.add(entry())
        [taken] = await outbox.take(2.0, 1, 60.0)
        said = Acknowledgement("anna", 2.0, "command")
        changed = await outbox.put(replace(taken.entry, status="acknowledged", acknowledgement=said, wake=2.0))
        with pytest.raises(Changed):
            await outbox.put(taken.entry, lease=taken.lease, release=True)
        assert list(await outbox.take(9.0, 1, 60.0)) == []
        await outbox.put(changed, lease=taken.lease, release=True)
        [again] = await outbox.take(9.0, 1, 60.0)
        assert again.entry.acknowledgement == said

    async def test_pages_show_each_once_the_newest_first(self, outbox: Outbox) -> None:
        for number in range(7):
            await outbox.add(entry(str(number), at=float(number), status="dead" if number % 2 else "pending"))
        keys: list[str] = []
        cursor = ""
        while True:
            page = await outbox.page(cursor, 3)
            keys += [each.key for each in page.entries]
            cursor = page.cursor
            if not cursor:
                break
        assert keys == [key_of(str(number)) for number in range(6, -1, -1)]
        dead = [each.key for each in (await outbox.page(status="dead")).entries]
        assert dead == [key_of(str(number)) for number in (5, 3, 1)]
        counts = await outbox.counts()
        assert (counts["dead"], counts["pending"], counts["accepted"]) == (3, 4, 0)
        pending = await outbox.get(key_of("2"))
        assert pending is not None
        await outbox.put(replace(pending, status="accepted"))
        assert {**await outbox.counts()} == {"pending": 3, "accepted": 1, "acknowledged": 0, "dead": 3}

    async def test_what_has_one_group_is_told_once_within_its_window(self, passing: Passing) -> None:
        outbox, sleep = passing
        first = await outbox.add(entry("1", group="g"), window=0.5)
        joined = await outbox.add(entry("2", group="g"), window=0.5)
        other = await outbox.add(entry("3", group="h"), window=0.5)
        always = await outbox.add(entry("4", group="g"))
        assert (first.status, other.status, always.status) == ("stored", "stored", "stored")
        assert (joined.status, joined.key) == ("joined", key_of("1"))
        found = await outbox.get(key_of("1"))
        assert found is not None
        assert found.repeats == 1
        assert await outbox.get(key_of("2")) is None
        await sleep(0.6)
        assert (await outbox.add(entry("5", group="g"), window=0.5)).status == "stored"

    async def test_where_there_is_no_room_what_nobody_needs_to_look_at_goes(self, small: Outbox) -> None:
        await small.add(entry("1"))
        await small.add(entry("2", status="dead", wake=None))
        await small.add(entry("3"))
        assert await small.get(key_of("2")) is None
        with pytest.raises(Full):
            await small.add(entry("4"))
        assert (await small.add(entry("1"))).status == "known"

    async def test_what_nobody_needs_to_look_at_ends_by_itself(self, passing: Passing) -> None:
        outbox, sleep = passing
        await outbox.add(entry("1", wake=None, status="dead"))
        await outbox.add(entry("2"))
        await sleep(1.2)
        await outbox.take(0.0, 1, 1.0)
        assert await outbox.get(key_of("1")) is None
        assert [each.key for each in (await outbox.page()).entries] == [key_of("2")]
        assert (await outbox.counts())["dead"] == 0

    async def test_of_a_person_nothing_is_left_but_that_somebody_is_told(self, outbox: Outbox) -> None:
        about = {"intervention": "i"}
        live = entry("run-1:player:panic", owner="u")
        live = replace(live, notification=replace(live.notification, about=about))
        await outbox.add(live)
        await outbox.add(entry("2", owner="u", status="dead", wake=None))
        await outbox.add(entry("3", owner="v"))
        assert await outbox.forget("") == 0
        assert await outbox.forget("u") == 2
        assert await outbox.get(key_of("2")) is None
        kept = await outbox.get(live.key)
        assert kept is not None
        notification = kept.notification
        assert (notification.owner, notification.about, notification.id) == ("", {}, live.key)
        assert (notification.subject, kept.wake) == (live.notification.subject, 1.0)
        other = await outbox.get(key_of("3"))
        assert other is not None
        assert other.notification.owner == "v"
        assert await outbox.forget("u") == 0

    async def test_of_several_who_wait_nobody_is_left_behind(self, outbox: Outbox) -> None:
        heard: list[int] = []

        async def hear(number: int) -> None:
            for _ in range(3):
                await outbox.changed(wait=20.0)
                heard.append(number)

        with anyio.fail_after(15):
            async with anyio.create_task_group() as tasks:
                for number in range(2):
                    tasks.start_soon(hear, number)
                while len(heard) < 6:
                    await outbox.add(entry(str(anyio.current_time())))
                    await anyio.sleep(0.01)

    async def test_who_waits_hears_of_what_is_new(self, outbox: Outbox) -> None:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._hear, outbox, tasks.cancel_scope)
                while not tasks.cancel_scope.cancel_called:
                    await outbox.add(entry(str(anyio.current_time())))
                    await anyio.sleep(0.01)

    async def _hear(self, outbox: Outbox, scope: anyio.CancelScope) -> None:
        await outbox.changed(wait=20.0)
        scope.cancel()
