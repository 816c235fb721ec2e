"""What a store of breakers promises, and what breakers do on it."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from tta_breakers.breaker import Permit
from tta_breakers.model import BreakerSettings, BreakerStore, Record, Refused, Swap

from .calls import breakers_on, eventually, fail, given

OPENS_AT_ONCE = BreakerSettings(failures=1, rate=None, open=0.001, jitter=0)
OPENS_FOR_LONG = BreakerSettings(failures=3, rate=None, open=600)


@pytest.mark.anyio
class BreakerStoreContract:
    """Subclass this, with a fixture ``store`` that gives one, empty, as its plugin opens it."""

    async def test_a_new_breaker_is_stored_and_read(self, store: BreakerStore) -> None:
        record = Record("open", at=1.5, stamp="a", generation=3, failures=5, opens=2, until=9.25, reason="why", by="me")
        answer = await store.swap([Swap("agent:x", "", record)])
        assert answer.records == {"agent:x": record}
        read = await store.read()
        assert read.records == {"agent:x": record}
        assert read.now >= answer.now > 0

    async def test_who_expects_what_was_is_told_what_is(self, store: BreakerStore) -> None:
        first, second, late = Record(at=1.0, stamp="a"), Record(at=2.0, stamp="b"), Record(at=3.0, stamp="c")
        await store.swap([Swap("x", "", first)])
        await store.swap([Swap("x", "a", second)])
        assert (await store.swap([Swap("x", "a", late)])).records == {"x": second}
        assert (await store.swap([Swap("x", "", late)])).records == {"x": second}
        assert (await store.read()).records == {"x": second}

    async def test_what_was_never_there_is_told_as_empty(self, store: BreakerStore) -> None:
        answer = await store.swap([Swap("x", "lost", Record(at=1.0, stamp="a"))])
        assert answer.records == {"x": Record()}
        assert (await store.read()).records == {}

    async def test_several_are_swapped_each_on_its_own(self, store: BreakerStore) -> None:
        await store.swap([Swap("x", "", Record(at=1.0, stamp="a"))])
        new = Record(at=2.0, stamp="b")
        answer = await store.swap([Swap("x", "wrong", new), Swap("y", "", new), Swap("z", "", new)])
        assert answer.records == {"x": Record(at=1.0, stamp="a"), "y": new, "z": new}

    async def test_any_printable_name_can_be_used(self, store: BreakerStore) -> None:
        names = ["agent:world-builder", "ein Name: {mit} %allem*", "名", "a" * 200]
        await store.swap([Swap(name, "", Record(at=1.0, stamp=name)) for name in names])
        assert {*(await store.read()).records} == {*names}

    async def test_news_come_when_there_are_some(self, store: BreakerStore) -> None:
        with anyio.fail_after(10):
            stamp, record, found = "", Record(), None
            while not found:  # It may say that it has missed something as long as it begins to listen.
                record = Record(at=1.0, stamp=f"{stamp}a")
                await store.swap([Swap("x", stamp, record)])
                stamp = record.stamp
                found = await store.news(wait=0.1)
            assert found == {"x": record}

    async def test_news_end_after_the_wait_where_there_are_none(self, store: BreakerStore) -> None:
        with anyio.fail_after(10):
            await store.news(wait=0.001)
            assert not await store.news(wait=0.05)

    # What breakers do on it.

    async def test_it_opens_after_failures_in_a_row_and_refuses_without_a_call(self, store: BreakerStore) -> None:
        async with breakers_on(store, OPENS_FOR_LONG).running() as breakers:
            breaker = breakers.breaker("x")
            await fail(breaker, 3)
            refused = breaker.allow()
            assert isinstance(refused, Refused)
            assert 590 < refused.again <= 600 * 1.1
            assert "3 calls in a row" in refused.reason

    async def test_a_success_begins_the_count_anew(self, store: BreakerStore) -> None:
        async with breakers_on(store, OPENS_FOR_LONG).running() as breakers:
            breaker = breakers.breaker("x")
            await fail(breaker, 2)
            (await given(breaker)).succeeded()
            await fail(breaker, 2)
            assert isinstance(breaker.allow(), Permit)

    async def test_what_is_returned_is_neither_failure_nor_success(self, store: BreakerStore) -> None:
        async with breakers_on(store, OPENS_FOR_LONG).running() as breakers:
            breaker = breakers.breaker("x")
            await fail(breaker, 2)
            (await given(breaker)).returned()
            await fail(breaker)
            assert isinstance(breaker.allow(), Refused)

    async def test_one_probe_is_made_and_closes_it(self, store: BreakerStore) -> None:
        async with breakers_on(store, OPENS_AT_ONCE).running() as breakers:
            breaker = breakers.breaker("x")
            await fail(breaker)
            await anyio.sleep(0.01)
            probe = await given(breaker)
            assert probe.probe
            assert isinstance(await breaker.admit(), Refused)
            probe.succeeded()
            assert not (await given(breaker)).probe

    async def test_a_probe_that_fails_opens_it_for_longer(self, store: BreakerStore) -> None:
        settings = BreakerSettings(failures=1, rate=None, open=0.001, growth=10, jitter=0)
        async with breakers_on(store, settings).running() as breakers:
            breaker = breakers.breaker("x")
            await fail(breaker)
            for _ in range(2):
                await anyio.sleep(0.02)
                (await given(breaker)).failed()
            refused = breaker.allow()
            assert isinstance(refused, Refused)
            assert 0.05 < refused.again <= 0.1

    async def test_a_probe_that_is_cancelled_gives_its_place_back(self, store: BreakerStore) -> None:
        async with breakers_on(store, OPENS_AT_ONCE).running() as breakers:
            breaker = breakers.breaker("x")
            await fail(breaker)
            await anyio.sleep(0.01)
            with anyio.CancelScope() as scope:
                async with await given(breaker):
                    scope.cancel()
                    await anyio.sleep_forever()
            assert (await given(breaker)).probe

    async def test_it_is_as_it_was_after_a_restart(self, store: BreakerStore) -> None:
        async with breakers_on(store, OPENS_FOR_LONG).running() as breakers:
            await fail(breakers.breaker("open"), 3)
            await fail(breakers.breaker("counting"), 2)
        async with breakers_on(store, OPENS_FOR_LONG).running() as breakers:
            assert isinstance(breakers.breaker("open").allow(), Refused)
            await fail(breakers.breaker("counting"))
            assert isinstance(breakers.breaker("counting").allow(), Refused)

    async def test_what_was_seen_last_is_stored_when_it_stops(self, store: BreakerStore) -> None:
        async with breakers_on(store, OPENS_FOR_LONG).running() as breakers:
            await fail(breakers.breaker("x"), 2)
            await anyio.lowlevel.checkpoint()
            await fail(breakers.breaker("x"))
        assert (await store.read()).records["x"].status == "open"

    async def test_it_is_closed_and_opened_by_hand(self, store: BreakerStore) -> None:
        async with breakers_on(store, OPENS_FOR_LONG).running() as breakers:
            breaker = breakers.breaker("x")
            await fail(breaker, 3)
            assert await breakers.reset("x", by="op")
            assert not await breakers.reset("x")
            assert isinstance(breaker.allow(), Permit)
            assert await breakers.trip("x", "no memory is left", by="op")
            assert isinstance(breaker.allow(), Refused)
            [found] = await breakers.list()
            assert (found.status, found.reason, found.by) == ("open", "no memory is left", "op")

    async def test_what_was_heard_last_is_stored_anew_where_the_store_has_lost_it(self, store: BreakerStore) -> None:
        async with breakers_on(store, OPENS_FOR_LONG, refresh=0.02).running() as breakers:
            breaker = breakers.breaker("x")
            await breakers.trip("x", "by hand")
            old = breaker.base
            lost = Record(at=old.at - 1, stamp="older", generation=old.generation - 1)
            await store.swap([Swap("x", old.stamp, lost)])
            await eventually(lambda: breaker.expected == "older" or breaker.base.stamp != old.stamp)
            await eventually(lambda: breaker.expected == breaker.base.stamp)
            assert (await store.read()).records["x"].status == "open"
