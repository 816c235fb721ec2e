from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from tta_messages import Delivery, LeaseCounts, LeaseKeeper, MessagesError, QueueSettings
from tta_messages.memory import MemoryMessages
from tta_messages.testing import TYPES, note, settings

pytestmark = pytest.mark.parametrize("anyio_backend", ["virtual"], indirect=True)
VISIBILITY = 40.0


class Store(MemoryMessages):
    """Runs by the clock of the event loop, remembers what it was asked, and may be away or slow."""

    def __init__(self, **how: Any) -> None:
        super().__init__(settings(**how), TYPES, clock=lambda: anyio.current_time() - self.behind)
        self.behind = 0.0
        self.away = False
        self.slow: str | None = None
        self.extended: list[tuple[str, float]] = []
        self.configured: list[QueueSettings] = []

    def _look(self) -> None:
        if self.away:
            raise MessagesError("it is away")

    async def receive(self, queue: str, **how: Any) -> Sequence[Delivery]:
        self._look()
        return await super().receive(queue, **how)

    async def ack(self, *deliveries: Delivery) -> Sequence[bool]:
        self._look()
        return await super().ack(*deliveries)

    async def release(self, *deliveries: Delivery) -> Sequence[bool]:
        self._look()
        return await super().release(*deliveries)

    async def extend(self, delivery: Delivery, seconds: float) -> bool:
        self._look()
        if delivery.message.id == self.slow:
            await anyio.sleep_forever()
        self.extended.append((delivery.message.id, anyio.current_time()))
        return await super().extend(delivery, seconds)

    async def configure(self, queue: str, settings: QueueSettings) -> None:
        self._look()
        self.configured.append(settings)
        await super().configure(queue, settings)


class Lost(list[str]):
    """Which deliveries were lost, and when, in seconds from the beginning."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self._began = anyio.current_time()

    def __call__(self, delivery: Delivery) -> None:
        self.append(delivery.message.id)
        self.at.append(anyio.current_time() - self._began)


@asynccontextmanager
async def keeping(store: Store, names: str, **how: Any) -> AsyncIterator[tuple[LeaseKeeper, Sequence[Delivery]]]:
    """Hold a message for each letter of ``names``, for as long as the block."""
    how.setdefault("visibility", VISIBILITY)
    leases = LeaseKeeper(store, "q", clock=anyio.current_time, **how)
    await store.send(*(note(name, id=name) for name in names))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leases.run)
        await anyio.wait_all_tasks_blocked()
        yield leases, await leases.receive(limit=100, wait=0.0)
        tasks.cancel_scope.cancel()


async def test_what_is_held_is_extended_in_time_and_what_is_quick_is_not() -> None:
    store, counts = Store(), LeaseCounts()
    async with keeping(store, "ab", counts=counts) as (leases, (a, b)):
        await anyio.sleep(VISIBILITY / 4 - 1)
        leases.done([b])
        await anyio.sleep(10 * VISIBILITY)
        leases.done([a])
    assert {name for name, _ in store.extended} == {"a"}
    await leases.close()
    stats = (await store.stats("q"))["q"]
    assert (stats.acknowledged, stats.recovered, counts.lost) == (2, 0, 0)


async def test_without_a_visibility_a_hold_is_extended_as_the_queue_says_now() -> None:
    store = Store(visibility=VISIBILITY)
    async with keeping(store, "a", visibility=None):
        await anyio.sleep(VISIBILITY)
        await store.configure("q", QueueSettings(visibility=VISIBILITY / 10))
        await anyio.sleep(10 * VISIBILITY)
    gaps = [later[1] - earlier[1] for earlier, later in zip(store.extended, store.extended[1:], strict=False)]
    assert (round(gaps[0], 6), round(gaps[-1], 6)) == (VISIBILITY / 4, VISIBILITY / 40)
    assert (await store.stats("q"))["q"].recovered == 0


async def test_what_the_store_holds_no_longer_is_told_once() -> None:
    store, counts = Store(), LeaseCounts()
    lost = Lost()
    async with keeping(store, "ab", lost=lost, counts=counts) as (leases, (a, b)):
        await store.ack(a)
        await anyio.sleep(4 * VISIBILITY)
        assert not leases.holds(a, anyio.current_time())
        assert leases.holds(b, anyio.current_time())
    assert (lost, counts.lost) == (["a"], 1)


async def test_what_is_settled_while_it_is_extended_is_not_lost() -> None:
    store = Store()
    lost = Lost()
    async with keeping(store, "a", lost=lost) as (leases, (a,)):
        store.slow = "a"
        await anyio.sleep(VISIBILITY / 2 + 1)
        leases.done([a])
        await anyio.sleep(4 * VISIBILITY)
    assert lost == []


async def test_while_the_store_is_away_a_hold_is_lost_at_its_very_end() -> None:
    store = Store()
    lost = Lost()
    async with keeping(store, "a", lost=lost):
        await anyio.sleep(VISIBILITY / 8)
        store.away = True
        await anyio.sleep(4 * VISIBILITY)
    assert lost == ["a"]
    assert VISIBILITY <= lost.at[0] <= VISIBILITY * 1.03


@pytest.mark.parametrize("kind", [ValueError, asyncio.CancelledError, SystemExit])  # noqa: TID251 - what strangers do
async def test_whoever_is_told_of_a_loss_and_fails_ends_no_other_hold(kind: type[BaseException]) -> None:
    def lost(delivery: Delivery) -> None:
        told.append(delivery.message.id)
        raise kind

    store = Store()
    told: list[str] = []
    async with keeping(store, "ab", lost=lost) as (_, (a, _)):
        await store.ack(a)
        await anyio.sleep(4 * VISIBILITY)
        stats = (await store.stats("q"))["q"]
    assert told == ["a"]
    assert (stats.held, stats.recovered) == (1, 0)


async def test_a_store_that_is_back_in_time_loses_nothing() -> None:
    store = Store()
    lost = Lost()
    async with keeping(store, "a", lost=lost):
        store.away = True
        await anyio.sleep(VISIBILITY * 0.9)
        store.away = False
        await anyio.sleep(4 * VISIBILITY)
    assert lost == []
    assert (await store.stats("q"))["q"].recovered == 0


async def test_an_extension_that_takes_long_delays_no_other() -> None:
    store = Store()
    lost = Lost()
    store.slow = "a"
    async with keeping(store, "ab", lost=lost) as (leases, (_, b)):
        await anyio.sleep(4 * VISIBILITY)
        assert leases.holds(b, anyio.current_time())
    assert lost == ["a"]
    assert VISIBILITY <= lost.at[0] <= VISIBILITY * 1.03


async def test_what_is_done_is_acknowledged_soon_where_no_receive_does_it() -> None:
    store = Store()
    async with keeping(store, "abc", ack_after=0.02) as (leases, (a, b, c)):
        leases.done([a])
        leases.done([b])
        assert (await store.stats("q"))["q"].acknowledged == 0
        await anyio.sleep(0.03)
        assert (await store.stats("q"))["q"].acknowledged == 2
        store.away = True
        leases.done([c])
        await anyio.sleep(5.0)
        store.away = False
        await anyio.sleep(2.0)
        assert (await store.stats("q"))["q"].acknowledged == 3


async def test_without_that_it_is_acknowledged_when_holds_are_looked_after() -> None:
    store = Store()
    async with keeping(store, "a") as (leases, (a,)):
        leases.done([a])
        await anyio.sleep(1.0)
        assert (await store.stats("q"))["q"].acknowledged == 0
        await anyio.sleep(VISIBILITY / 4)
        assert (await store.stats("q"))["q"].acknowledged == 1


async def test_a_store_that_is_away_is_tried_again_told_once_and_configured_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    store, counts, wanted = Store(), LeaseCounts(), QueueSettings(ttl=600.0)
    leases = LeaseKeeper(store, "q", settings=wanted, counts=counts, clock=anyio.current_time)
    await store.send(note("a"))
    (a,) = await leases.receive(limit=1, wait=0.0)
    leases.done([a])
    store.away = True
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: leases.receive(limit=1, wait=0.0))
        await anyio.sleep(60.0)
        store.away = False
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"{prefix}nothing can be received from queue q{end}" for prefix, end in (
        ("", ": it is away"), ("no longer so: ", ""))
    ]  # fmt: skip
    assert (counts.outages, store.configured) == (1, [wanted, wanted])
    assert (await store.stats("q"))["q"].acknowledged == 1


async def test_a_queue_keeps_its_settings_though_nothing_happens_in_it() -> None:
    store, wanted = Store(), QueueSettings(ttl=600.0, dead_ttl=0.0)
    leases = LeaseKeeper(store, "q", settings=wanted, clock=anyio.current_time)
    for _ in range(100):
        await leases.receive(limit=1, wait=60.0)
    assert len(store.configured) == 100 * 60 / 300
    assert await store.settings("q") == wanted


async def test_at_the_end_what_is_done_is_acknowledged_and_what_is_held_is_released_in_order() -> None:
    store, counts = Store(), LeaseCounts()
    async with keeping(store, "abcd", counts=counts) as (leases, (a, _, _, d)):
        leases.done([a])
        await leases.fail([d], "Test", permanent=True)
    await leases.close()
    assert [delivery.message.id for delivery in await store.receive("q", limit=9)] == ["b", "c"]
    assert (counts.released, (await store.stats("q"))["q"].acknowledged) == (2, 1)


async def test_whoever_gives_back_while_the_store_is_away_is_told_by_the_log(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    async with keeping(store, "a") as (leases, (a,)):
        store.away = True
        await leases.release([a])
    assert "queue q was not told of a release" in caplog.text
    leases.done([a])
    with pytest.raises(MessagesError):
        await leases.close()


async def test_a_clock_of_the_store_that_was_set_back_is_believed_again() -> None:
    store = Store()
    async with keeping(store, "a") as (leases, _):
        store.behind = 1000.0
        await store.send(note("b"))
        (b,) = await leases.receive(limit=1, wait=0.0)
        assert not leases.holds(b, anyio.current_time())
        await leases.release([b])
        (b,) = await leases.receive(limit=1, wait=0.0)
        assert leases.holds(b, anyio.current_time())
