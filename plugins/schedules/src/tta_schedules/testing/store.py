"""The contract that every implementation of `ScheduleStore` passes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace

from tta_schedules.model import Asked, Backfill, Entry, Firing, Record, Schedule
from tta_schedules.store import Changed, NotHeld, ScheduleStore, TooMany

Passing = tuple[ScheduleStore, Callable[[float], Awaitable[None]]]
"""A store, and what lets seconds pass for it."""
LONG = 60.0


def entry(name: str = "daily", *, owner: str = "", **more: Any) -> Entry:
    """Make a schedule of that name."""
    return Entry(name=name, schedule=Schedule("greet", cron="@daily", owner=owner), **more)


def fired(due: float) -> Record:
    """Make a record."""
    return Record(at=due + 0.5, what="fired", due=due, run=f"r{due}", why="due")


class ScheduleStoreContract:
    """Subclass this, and give three fixtures, each an empty implementation.

    ``store`` takes many schedules and keeps 100 records of each; ``small`` takes two schedules, and three records;
    ``passing`` is a `Passing`, whose times are at least those that are asked for, and which keeps what has ended for
    one second.
    """

    async def test_what_nobody_has_put_is_none(self, store: ScheduleStore) -> None:
        assert await store.get("daily") is None
        assert list((await store.page()).entries) == []
        assert list(await store.history("daily")) == []
        assert list(await store.due(1e10, 10)) == []
        assert await store.wake(0.0) is None
        assert await store.forget("u") == 0

    async def test_a_schedule_comes_back_as_it_was_put_with_the_next_version(self, store: ScheduleStore) -> None:
        whole = Entry(
            name="all-of_it.1", origin="config",
            schedule=Schedule("greet", {"text": "\N{SNOWMAN}", "n": [1, None]}, "u", "s", {"a": "b"}),
            created_at=1.5, next=2.5, wake=3.5, paused=True, ended="limit", fired=3, last=1.0,
            firing=Firing("k", 2.0, "backfill", "me", 2), waiting=4.0, runs=("a", "b"), asked=(Asked("i", 1.0, "me"),),
            backfills=(Backfill("b", 1.0, 2.0, "me"),),
        )  # fmt: skip
        stored = await store.put(whole)
        assert stored == replace(whole, version=1)
        assert await store.get("all-of_it.1") == stored
        assert (await store.put(replace(stored, paused=False))).version == 2

    async def test_who_has_not_seen_the_last_version_changes_nothing(self, store: ScheduleStore) -> None:
        first = await store.put(entry())
        second = await store.put(replace(first, fired=1))
        for stale in (entry(), replace(first, fired=9), replace(second, version=7)):
            with pytest.raises(Changed):
                await store.put(stale, [fired(1.0)])
        with pytest.raises(Changed):
            await store.put(replace(entry("other"), version=1))
        with pytest.raises(Changed):
            await store.remove(first)
        assert await store.get("daily") == second
        assert list(await store.history("daily")) == []

    async def test_of_many_that_put_at_once_one_does(self, store: ScheduleStore) -> None:
        first = await store.put(entry())
        done: list[int] = []

        async def put(number: int) -> None:
            try:
                await store.put(replace(first, fired=number))
                done.append(number)
            except Changed:
                pass

        async with anyio.create_task_group() as tasks:
            for number in range(1, 9):
                tasks.start_soon(put, number)
        found = await store.get("daily")
        assert found is not None
        assert [found.fired] == done

    async def test_one_process_holds_the_lease_until_it_is_over(self, passing: Passing) -> None:
        store, sleep = passing
        lease = await store.hold("one", 0.5)
        assert lease is not None
        assert await store.hold("one", 0.5, lease) == lease
        assert await store.hold("two", 0.5) is None
        assert await store.hold("one", 0.5) is None
        await sleep(0.6)
        other = await store.hold("two", LONG)
        assert other is not None
        assert other.token != lease.token
        assert await store.hold("one", LONG, lease) is None
        await store.leave(lease)
        assert await store.hold("one", LONG) is None
        await store.leave(other)
        assert await store.hold("one", LONG) is not None

    async def test_a_lease_that_is_over_comes_back_under_another_token(self, passing: Passing) -> None:
        store, sleep = passing
        lease = await store.hold("one", 0.2)
        assert lease is not None
        await sleep(0.3)
        again = await store.hold("one", LONG, lease)
        assert again is not None
        assert again.token != lease.token

    async def test_who_has_lost_the_lease_stores_nothing(self, passing: Passing) -> None:
        store, sleep = passing
        lease = await store.hold("one", 0.3)
        assert lease is not None
        first = await store.put(entry(), lease=lease)
        await sleep(0.4)
        with pytest.raises(NotHeld):
            await store.put(replace(first, fired=1), [fired(1.0)], lease=lease)
        other = await store.hold("two", LONG)
        assert other is not None
        with pytest.raises(NotHeld):
            await store.put(replace(first, fired=1), [fired(1.0)], lease=lease)
        assert (await store.put(replace(first, fired=2), lease=other)).fired == 2
        assert list(await store.history("daily")) == []
        assert (await store.get("daily")) == replace(first, fired=2, version=2)

    async def test_what_is_due_comes_by_its_time(self, store: ScheduleStore) -> None:
        for name, wake in (("c", 30.0), ("a", 10.0), ("b", 20.0), ("later", 40.0), ("never", None)):
            await store.put(entry(name, wake=wake))
        assert [each.name for each in await store.due(30.0, 10)] == ["a", "b", "c"]
        assert [each.name for each in await store.due(30.0, 2)] == ["a", "b"]
        assert await store.wake(30.0) == 40.0
        assert await store.wake(40.0) is None
        [found] = await store.due(10.0, 1)
        await store.put(replace(found, wake=None))
        assert list(await store.due(10.0, 10)) == []

    async def test_pages_hold_all_by_name(self, store: ScheduleStore) -> None:
        names = [f"s{number:03}" for number in range(25)]
        for name in reversed(names):
            await store.put(entry(name))
        found: list[str] = []
        cursor = ""
        while True:
            page = await store.page(cursor, 10)
            assert len(page.entries) <= 10
            found += [each.name for each in page.entries]
            if not page.cursor:
                break
            cursor = page.cursor
        assert found == names

    async def test_the_history_is_bounded_and_outlives_its_schedule(self, small: ScheduleStore) -> None:
        stored = await small.put(entry(), [fired(1.0), fired(2.0)])
        stored = await small.put(stored, [fired(3.0), fired(4.0)])
        assert list(await small.history("daily")) == [fired(4.0), fired(3.0), fired(2.0)]
        assert list(await small.history("daily", 1)) == [fired(4.0)]
        await small.remove(stored)
        assert await small.get("daily") is None
        assert list(await small.due(1e10, 10)) == []
        assert len(await small.history("daily")) == 3

    async def test_there_are_only_so_many(self, small: ScheduleStore) -> None:
        first = await small.put(entry("a"))
        await small.put(entry("b"))
        with pytest.raises(TooMany):
            await small.put(entry("c"))
        await small.put(replace(first, fired=1))
        second = await small.get("b")
        assert second is not None
        await small.remove(second)
        assert (await small.put(entry("c"))).version == 1

    async def test_what_has_ended_goes_by_itself_unless_it_begins_anew(self, passing: Passing) -> None:
        store, sleep = passing
        await store.put(entry("gone", ended="end"))
        back = await store.put(entry("back", ended="removed"))
        await store.put(replace(back, ended=""))
        await sleep(1.2)
        assert await store.get("gone") is None
        assert [each.name for each in (await store.page()).entries] == ["back"]
        assert (await store.put(entry("gone"))).version == 1

    async def test_a_person_s_schedules_are_forgotten_with_their_history(self, store: ScheduleStore) -> None:
        for name, owner in (("a", "u"), ("b", "u"), ("c", "other"), ("d", "")):
            await store.put(entry(name, owner=owner, wake=1.0), [fired(1.0)])
        assert await store.forget("") == 0
        assert await store.forget("u") == 2
        assert await store.forget("u") == 0
        assert [each.name for each in (await store.page()).entries] == ["c", "d"]
        assert [each.name for each in await store.due(2.0, 10)] == ["c", "d"]
        assert [len(await store.history(name)) for name in "abcd"] == [0, 0, 1, 1]

    async def test_a_person_s_schedule_takes_its_history_along(self, store: ScheduleStore) -> None:
        stored = await store.put(entry(owner="u"), [fired(1.0)])
        await store.remove(stored)
        assert list(await store.history("daily")) == []

    async def test_who_waits_hears_of_a_change(self, store: ScheduleStore) -> None:
        stored = await store.put(entry())
        await store.changed(wait=0.01)
        heard = anyio.Event()

        async def listen() -> None:
            await store.changed(wait=LONG)
            heard.set()

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listen)
                while not heard.is_set():
                    stored = await store.put(replace(stored, fired=stored.fired + 1))
                    await anyio.lowlevel.checkpoint()

    async def test_who_waits_in_vain_waits_no_longer_than_that(self, store: ScheduleStore) -> None:
        with anyio.fail_after(10):
            await store.changed(wait=0.01)
            await store.changed(wait=0.01)
