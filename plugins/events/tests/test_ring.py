from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import anyio
import pytest
from msgspec import Struct

from tta_events import DROPPED, Entry, Ring, Where
from tta_events.testing import EventsContract, Open, Opened
from tta_kernel import Event, EventBus, PluginStateChanged


class Bell(Struct, frozen=True):
    name: str


class Rung(Event, frozen=True, tag="bell.rung"):
    __shown__: ClassVar = ("bell", "way")

    bell: Bell
    times: int = 1
    way: str = ""
    words: str = ""
    session: str = ""
    owner: str = ""


class Cracked(Event, frozen=True, tag="bell.cracked"):
    __shown__: ClassVar = ("why",)

    why: Any = None
    data: Mapping[str, Any] = {}


class Tower:
    """A bus and a ring on it."""

    def __init__(self, size: int = 10, buffer: int = 10_000, secrets: tuple[str, ...] = ()) -> None:
        self.bus = EventBus()
        self.ring = Ring(self.bus.attach(Event, buffer=buffer), size, secrets)

    def ring_bell(self, *ways: str, owner: str = "", session: str = "") -> None:
        for way in ways:
            event = Rung(bell=Bell("big"), way=way, words="my own words", owner=owner, session=session)
            self.bus.publish(event, source="tower")

    async def ways(self, after: int | None = None, **asked: Any) -> list[str]:
        page = await self.ring.read(after, **asked)
        return [entry.fields["way"] for entry in page.entries]


class TestRing(EventsContract):
    @pytest.fixture
    def events(self) -> Open:
        return open_ring


@asynccontextmanager
async def open_ring(*, size: int = 100) -> AsyncIterator[Opened]:
    tower = Tower(size)

    async def publish(event: Event) -> None:
        tower.bus.publish(event, source="tower")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tower.ring.run)
        yield Opened(tower.ring, publish, tower.ring.forget)
        tasks.cancel_scope.cancel()


async def test_events_are_numbered_and_show_numbers_and_what_is_declared() -> None:
    tower = Tower()
    tower.ring_bell("loud", owner="p-1", session="s-1")
    page = await tower.ring.read()
    [entry] = page.entries
    assert entry == Entry(
        1, "bell.rung", entry.at, "tower", "s-1", "p-1",
        fields={"bell": {"name": "big"}, "times": 1, "way": "loud"}, sizes={"words": 12},
    )  # fmt: skip
    assert entry.at > 1e9
    assert (page.next, page.oldest, page.newest, page.missed) == (1, 1, 1, 0)


async def test_a_plugin_that_failed_is_shown_without_its_reason() -> None:
    tower = Tower()
    tower.bus.publish(PluginStateChanged(plugin="bell", state="failed", reason="someone said something"))
    [entry] = (await tower.ring.read()).entries
    assert (entry.kind, entry.fields, entry.sizes) == (
        "kernel.plugin-state-changed", {"plugin": "bell", "state": "failed"}, {"reason": 22},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("why", "field", "size"),
    [(object(), None, 1), ({"much": "x" * 5000}, None, 5011), ("half\ud800", None, 5), ([1, "a"], [1, "a"], None)],
    ids=["an object", "much", "half a character", "a list"],
)
async def test_what_json_cannot_hold_or_is_much_is_told_by_its_size(why: Any, field: Any, size: Any) -> None:
    tower = Tower()
    tower.bus.publish(Cracked(why=why, data={"said": "words"}))
    [entry] = (await tower.ring.read()).entries
    assert (entry.fields.get("why"), entry.sizes.get("why"), entry.sizes["data"]) == (field, size, 1)


async def test_what_is_no_longer_kept_is_counted_as_missed() -> None:
    tower = Tower(size=3)
    tower.ring_bell(*"abcdefg")
    page = await tower.ring.read(1)
    assert [entry.seq for entry in page.entries] == [5, 6, 7]
    assert (page.missed, page.oldest, page.newest) == (3, 5, 7)


async def test_who_waits_gets_the_next_event_that_is_asked_for() -> None:
    tower = Tower()
    pages = []

    async def wait() -> None:
        pages.append(await tower.ring.read(0, where=Where(owner="p-1"), wait=60))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        tasks.start_soon(tower.ring.run)
        await anyio.wait_all_tasks_blocked()
        tower.ring_bell("of another")
        await anyio.wait_all_tasks_blocked()
        assert pages == []
        tower.ring_bell("mine", owner="p-1")
        with anyio.fail_after(5):
            while not pages:
                await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert ([entry.fields["way"] for entry in pages[0].entries], pages[0].next) == (["mine"], 2)


async def test_what_came_too_fast_is_a_gap_that_everybody_sees() -> None:
    tower = Tower(buffer=3)
    tower.ring_bell(*"abcde")
    gap, *rest = (await tower.ring.read(0, where=Where(("bell.*",)))).entries
    assert (gap.kind, gap.fields) == (DROPPED, {"count": 2})
    assert [(entry.seq, entry.fields["way"]) for entry in rest] == [(2, "c"), (3, "d"), (4, "e")]


async def test_a_person_is_forgotten_and_the_numbers_of_the_others_stay() -> None:
    tower = Tower()
    tower.ring_bell("a", owner="p-1")
    tower.ring_bell("b", owner="p-2")
    await tower.ring.read()
    tower.ring_bell("c", owner="p-1")
    assert await tower.ring.forget("p-1") == 2
    assert await tower.ring.forget("p-1") == 0
    assert await tower.ring.forget("") == 0
    assert [(entry.seq, entry.owner) for entry in (await tower.ring.read(0)).entries] == [(2, "p-2")]


async def test_no_secret_is_told() -> None:
    tower = Tower(secrets=("hunter2",))
    tower.ring_bell("with hunter2", session="hunter2")
    [entry] = (await tower.ring.read()).entries
    assert (entry.fields["way"], entry.session) == ("with <redacted>", "<redacted>")


async def test_it_ends_with_its_subscription() -> None:
    bus = EventBus()
    with bus.subscribe(Event) as subscription:
        ring = Ring(subscription, 10)
    with anyio.fail_after(5):
        await ring.run()
