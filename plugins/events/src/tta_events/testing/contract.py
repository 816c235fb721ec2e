"""What every store of events promises: the order of what has happened, and where a reader goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, NamedTuple, Protocol

import anyio
import pytest

from tta_events.model import Events, Page, Where
from tta_kernel import Event

LONG = 10.0
"""Seconds for what should take milliseconds: an upper bound, so that a failure shows."""


class Rung(Event, frozen=True, tag="contract.rung"):
    """What the contract publishes."""

    __shown__: ClassVar = ("way",)

    way: str
    times: int = 1
    words: str = ""
    session: str = ""
    owner: str = ""


class Cracked(Event, frozen=True, tag="contract.cracked"):
    """Another kind of it."""


class Opened(NamedTuple):
    """A store, what publishes an event so that the store tells of it by the time that it returns, and its `forget`."""

    events: Events
    publish: Callable[[Event], Awaitable[None]]
    forget: Callable[[str], Awaitable[int]]

    async def ring(self, *ways: str, **fields: Any) -> None:
        """Publish one event for each."""
        for way in ways:
            await self.publish(Rung(way=way, words="my own words", **fields))

    async def read(self, after: int | None = None, *, kind: str = "contract.*", **asked: Any) -> Page:
        """Read what the contract has published; a deployment's other plugins publish, too."""
        where = Where((kind,), asked.pop("session", ""), asked.pop("owner", ""))
        return await self.events.read(after, where=where, **asked)

    async def ways(self, after: int | None = None, **asked: Any) -> list[str]:
        """Return what `read` finds, in short."""
        return [entry.fields.get("way", entry.kind) for entry in (await self.read(after, **asked)).entries]


class Open(Protocol):
    """What the fixture ``events`` is: ``async with events(size=9) as opened`` opens a store that keeps so many."""

    def __call__(self, *, size: int = ...) -> AbstractAsyncContextManager[Opened]: ...


class EventsContract:
    """Subclass it, and give the fixture ``events``."""

    async def test_an_event_shows_numbers_and_what_is_declared_and_sizes_of_all_else(self, events: Open) -> None:
        async with events() as opened:
            await opened.ring("loud", owner="p-1", session="s-1")
            page = await opened.read()
        [entry] = page.entries
        assert (entry.kind, entry.owner, entry.session) == ("contract.rung", "p-1", "s-1")
        assert (entry.fields, entry.sizes) == ({"way": "loud", "times": 1}, {"words": 12})
        assert entry.at > 1e9
        assert page.oldest <= entry.seq <= page.newest
        assert page.missed == 0

    async def test_the_newest_are_told_unless_a_number_is_given(self, events: Open) -> None:
        async with events() as opened:
            before = (await opened.read()).next
            await opened.ring(*"abcdef")
            assert await opened.ways(limit=2) == ["e", "f"]
            assert await opened.ways(before, limit=2) == ["a", "b"]

    async def test_pages_go_on_where_the_last_ended_and_tell_nothing_twice(self, events: Open) -> None:
        async with events() as opened:
            page = await opened.read()
            told: list[str] = []
            await opened.ring(*"abcde")
            while (page := await opened.read(page.next, epoch=page.epoch, limit=2)).entries:
                told += [entry.fields["way"] for entry in page.entries]
            assert told == [*"abcde"]
            await opened.ring("f")
            assert await opened.ways(page.next, epoch=page.epoch) == ["f"]

    async def test_numbers_only_grow(self, events: Open) -> None:
        async with events() as opened:
            await opened.ring(*"abc")
            numbers = [entry.seq for entry in (await opened.read()).entries]
        assert len(numbers) == 3
        assert numbers == sorted(set(numbers))

    async def test_what_is_no_longer_kept_is_counted_as_missed(self, events: Open) -> None:
        async with events(size=3) as opened:
            before = (await opened.read()).next
            await opened.ring(*"abcdefg")
            page = await opened.read(before)
        assert [entry.fields["way"] for entry in page.entries] == [*"efg"]
        assert page.missed == 4

    async def test_another_epoch_begins_anew(self, events: Open) -> None:
        async with events() as opened:
            await opened.ring(*"ab")
            page = await opened.read()
            assert await opened.ways(page.next, epoch=page.epoch) == []
            assert await opened.ways(page.next, epoch="another") == ["a", "b"]

    async def test_a_number_above_the_newest_leads_to_what_comes_next(self, events: Open) -> None:
        async with events() as opened:
            await opened.ring(*"ab")
            page = await opened.read(2**50)
            assert (page.entries, page.next) == ([], page.newest)
            await opened.ring("c")
            assert await opened.ways(page.next) == ["c"]

    async def test_events_are_chosen_by_kind_session_and_owner(self, events: Open) -> None:
        async with events() as opened:
            await opened.ring("a", owner="p-1", session="s-1")
            await opened.ring("b", owner="p-2", session="s-1")
            await opened.publish(Cracked())
            assert await opened.ways(session="s-1") == ["a", "b"]
            assert await opened.ways(owner="p-2") == ["b"]
            assert await opened.ways(kind="contract.rung", session="s-1", owner="p-1") == ["a"]
            assert await opened.ways(kind="contract.c*") == ["contract.cracked"]
            assert await opened.ways(session="s-1", limit=1) == ["b"]
            page = await opened.read(0, kind="other.*")
            assert (page.entries, page.next) == ([], page.newest)

    async def test_whoever_waits_gets_the_next_event_that_is_asked_for(self, events: Open) -> None:
        found: list[list[str]] = []

        async with events() as opened:
            before = (await opened.read()).next

            async def wait() -> None:
                found.append(await opened.ways(before, owner="p-1", wait=60.0))

            with anyio.fail_after(LONG):
                async with anyio.create_task_group() as tasks:
                    for _ in range(3):
                        tasks.start_soon(wait)
                    await anyio.wait_all_tasks_blocked()
                    await opened.ring("of another", owner="p-2")
                    await opened.ring("mine", owner="p-1")
        assert found == [["mine"]] * 3

    async def test_whoever_is_cancelled_while_it_waits_takes_nothing_along(self, events: Open) -> None:
        async with events() as opened:
            before = (await opened.read()).next
            with anyio.move_on_after(0.01):
                await opened.ways(before, wait=60.0)
            await opened.ring("a")
            assert await opened.ways(before) == ["a"]

    async def test_whoever_has_waited_in_vain_gets_an_empty_page(self, events: Open) -> None:
        async with events() as opened:
            before = (await opened.read()).next
            with anyio.fail_after(LONG):
                page = await opened.read(before, wait=0.01)
            assert (page.entries, page.next) == ([], page.newest)

    async def test_a_person_is_forgotten_and_the_numbers_of_the_others_stay(self, events: Open) -> None:
        async with events() as opened:
            await opened.ring("a", owner="p-1")
            await opened.ring("b", owner="p-2")
            before = (await opened.read()).entries
            await opened.ring("c", owner="p-1")
            assert await opened.forget("p-1") == 2
            assert await opened.forget("p-1") == 0
            assert await opened.forget("") == 0
            assert (await opened.read(0)).entries == [before[1]]

    @pytest.mark.parametrize("asked", [{"limit": 0}, {"limit": 1001}, {"wait": -1.0}, {"after": -1}])
    async def test_what_makes_no_sense_is_refused(self, events: Open, asked: dict[str, Any]) -> None:
        async with events() as opened:
            with pytest.raises(ValueError, match=r"whole number|number of seconds"):
                await opened.read(**asked)
