"""Breakers of one process: what they decide, when the store is away, too."""

from __future__ import annotations

import gc
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import pytest

from tta_breakers import (
    BreakerChanged,
    BreakerOpen,
    Breakers,
    BreakersError,
    BreakerSettings,
    Config,
    Permit,
    Record,
    Records,
    Refused,
    Swap,
)
from tta_breakers.memory import MemoryBreakerStore
from tta_breakers.testing import Time, breakers_on, eventually, fail, given
from tta_kernel import Event

pytestmark = pytest.mark.anyio
LOG = logging.getLogger("tta.breakers")
TWO_FAILURES = BreakerSettings(failures=2, rate=None, open=30, jitter=0, probe=10)
RATE = BreakerSettings(failures=10_000, rate=0.5, calls=10, window=60)


class Away(MemoryBreakerStore):
    """A store that can be away, or lose answers."""

    away = False
    loses_answers = 0

    async def read(self) -> Records:
        self._see()
        return await super().read()

    async def swap(self, swaps: Sequence[Swap]) -> Records:
        self._see()
        answer = await super().swap(swaps)
        if self.loses_answers:
            self.loses_answers -= 1
            raise BreakersError("no answer in time")
        return answer

    def _see(self) -> None:
        if self.away:
            raise BreakersError("it is away")


class Slow(MemoryBreakerStore):
    """A store whose swaps wait for ``goes_on``."""

    goes_on: anyio.Event | None = None

    async def swap(self, swaps: Sequence[Swap]) -> Records:
        if self.goes_on is not None:
            await self.goes_on.wait()
        return await super().swap(swaps)


async def test_at_a_rate_it_opens_though_no_row_of_calls_fails() -> None:
    async with breakers_on(MemoryBreakerStore(), RATE).running() as breakers:
        breaker = breakers.breaker("x")
        for _ in range(4):
            await fail(breaker)
            (await given(breaker)).succeeded()
        await fail(breaker)
        assert isinstance(breaker.allow(), Permit), "nine calls say too little"
        (await given(breaker)).succeeded()
        refused = breaker.allow()
        assert isinstance(refused, Refused)
        assert refused.reason == "5 of 10 calls have failed"


async def test_old_calls_don_t_count_for_the_rate() -> None:
    clock = Time()
    async with breakers_on(MemoryBreakerStore(clock), RATE, clock=clock).running() as breakers:
        breaker = breakers.breaker("x")
        await fail(breaker, 9)
        clock.now += 61
        for _ in range(9):
            (await given(breaker)).succeeded()
        await fail(breaker)
        assert isinstance(breaker.allow(), Permit)


async def test_one_that_is_not_enabled_never_opens() -> None:
    async with breakers_on(MemoryBreakerStore(), BreakerSettings(enabled=False, failures=1)).running() as breakers:
        breaker = breakers.breaker("x")
        await fail(breaker, 50)
        await breakers.trip("x", "by hand")
        assert isinstance(breaker.allow(), Permit)


async def test_a_call_that_began_before_it_closed_says_nothing() -> None:
    async with breakers_on(MemoryBreakerStore(), TWO_FAILURES).running() as breakers:
        breaker = breakers.breaker("x")
        old = await given(breaker)
        await fail(breaker, 2)
        await breakers.reset("x")
        old.failed()
        await fail(breaker)
        assert isinstance(breaker.allow(), Permit)


@pytest.mark.parametrize(("raised", "refused"), [(ValueError, True), (KeyError, False)])
async def test_guarded_by_it_calls_fail_by_what_they_raise(raised: type[Exception], refused: bool) -> None:
    async with breakers_on(MemoryBreakerStore(), TWO_FAILURES).running() as breakers:
        for _ in range(2):
            with pytest.raises(raised):
                async with breakers.guard("x", harmless=(KeyError,)):
                    raise raised
        if refused:
            with pytest.raises(BreakerOpen, match=r"x is open, and is asked again in 30\.0 s: 2 calls in a row"):
                async with breakers.guard("x"):
                    raise AssertionError
        else:
            async with breakers.guard("x"):
                pass


async def test_a_group_has_failed_unless_all_in_it_is_harmless() -> None:
    """A task group wraps what its tasks raise: what is harmless counted all the same."""
    async with breakers_on(MemoryBreakerStore(), BreakerSettings(failures=1, rate=None)).running() as breakers:
        for raised, refused in (([KeyError(), KeyError()], False), ([KeyError(), ValueError()], True)):
            with pytest.raises(ExceptionGroup):
                async with breakers.guard("x", harmless=(KeyError,)):
                    raise ExceptionGroup("tasks", raised)
            assert isinstance(breakers.breaker("x").allow(), Refused) is refused


async def test_a_guarded_call_that_is_cancelled_has_not_failed() -> None:
    settings = BreakerSettings(failures=1, rate=None)
    async with breakers_on(MemoryBreakerStore(), settings).running() as breakers:
        with anyio.CancelScope() as scope:
            async with breakers.guard("x"):
                scope.cancel()
                await anyio.sleep_forever()
        assert isinstance(breakers.breaker("x").allow(), Permit)


async def test_who_is_cancelled_while_it_asks_for_the_probe_keeps_nobody_from_it() -> None:
    clock = Time()
    store = Slow(clock)
    async with breakers_on(store, TWO_FAILURES, clock=clock).running() as breakers:
        breaker = breakers.breaker("x")
        await fail(breaker, 2)
        await eventually(lambda: not breaker.sending and not breaker.waiting)
        clock.now += 31
        store.goes_on = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(breaker.admit)
            await eventually(lambda: bool(breaker.sending))
            tasks.cancel_scope.cancel()
        store.goes_on.set()
        assert (await given(breaker)).probe


async def test_a_probe_says_once_how_it_went() -> None:
    clock = Time()
    async with breakers_on(MemoryBreakerStore(clock), TWO_FAILURES, clock=clock).running() as breakers:
        breaker = breakers.breaker("x")
        await fail(breaker, 2)
        clock.now += 31
        probe = await given(breaker)
        probe.returned()
        probe.failed()
        assert (await given(breaker)).probe


async def test_while_the_store_is_away_this_process_decides_alone_and_tells_it_later() -> None:
    clock, store = Time(), Away()
    async with breakers_on(store, TWO_FAILURES, clock=clock).running() as breakers:
        store.away = True
        breaker = breakers.breaker("x")
        await fail(breaker, 2)
        assert isinstance(breaker.allow(), Refused)
        clock.now += 31
        probe = await given(breaker)
        assert isinstance(await breaker.admit(), Refused), "one probe, of this process at least"
        probe.succeeded()
        assert isinstance(breaker.allow(), Permit)
        await fail(breaker, 2)
        assert breakers.trouble == "it is away"
        with pytest.raises(BreakersError, match="it is away"):
            await breakers.reset("x")
        assert isinstance(breaker.allow(), Permit), "here it is closed all the same"
        await fail(breaker, 2)
        store.away = False
        await eventually(lambda: not breakers.trouble)
        await eventually(lambda: not breaker.waiting)
        assert (await store.read()).records["x"].status == "open"


async def test_it_starts_without_its_store() -> None:
    store = Away()
    store.away = True
    async with breakers_on(store, TWO_FAILURES).running() as breakers:
        await fail(breakers.breaker("x"), 2)
        assert isinstance(breakers.breaker("x").allow(), Refused)


async def test_an_answer_that_is_lost_counts_no_failure_twice() -> None:
    store = Away()
    async with breakers_on(store, BreakerSettings(failures=3, rate=None)).running() as breakers:
        breaker = breakers.breaker("x")
        store.loses_answers = 1
        await fail(breaker)
        await eventually(lambda: not breaker.sending and not breaker.waiting)
        assert (await store.read()).records["x"].failures == 1
        await fail(breaker)
        assert isinstance(breaker.allow(), Permit)


async def test_what_waits_for_a_store_that_is_away_for_long_is_bounded() -> None:
    clock, store = Time(), Away()
    async with breakers_on(store, BreakerSettings(failures=1, rate=None, open=1), clock=clock).running() as breakers:
        store.away = True
        breaker = breakers.breaker("x")
        await fail(breaker)
        for _ in range(100):
            clock.now += 1000
            (await given(breaker)).failed()
        assert len(breaker.waiting) + len(breaker.sending) < 40
        clock.now += 1000
        (await given(breaker)).succeeded()
        assert isinstance(breaker.allow(), Permit)


async def test_each_change_is_published_once() -> None:
    published: list[Event] = []
    clock = Time()
    on = breakers_on(MemoryBreakerStore(clock), TWO_FAILURES, clock=clock, publish=published.append)
    async with on.running() as breakers:
        breaker = breakers.breaker("x")
        await fail(breaker, 2)
        await eventually(lambda: not breaker.sending and not breaker.waiting)
        clock.now += 31
        (await given(breaker)).succeeded()
    changes = [(each.before, each.after) for each in published if isinstance(each, BreakerChanged)]
    assert changes == [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]


async def test_what_another_process_decided_is_published_by_that_one() -> None:
    here: list[Event] = []
    store = MemoryBreakerStore()
    async with breakers_on(store, TWO_FAILURES, publish=here.append).running() as breakers:
        breaker = breakers.breaker("x")
        await store.swap([Swap("x", "", Record("open", at=1.0, stamp="other", generation=1, until=9e9))])
        await eventually(lambda: breaker.record.status == "open")
    assert here == []


async def test_as_many_as_are_kept_stay_the_same_and_who_holds_another_still_hears() -> None:
    store = MemoryBreakerStore()
    breakers = Breakers(store, Config(kept=2), LOG)
    async with breakers.running():
        held = breakers.breaker("held")
        for number in range(5):
            breakers.breaker(str(number))
        gc.collect()
        assert {*breakers.local()} == {"held", "3", "4"}
        await breakers.trip("held", "by hand")
        assert breakers.breaker("held") is held


async def test_an_open_one_that_nobody_held_any_more_is_open_when_it_is_asked_for_again() -> None:
    breakers = Breakers(MemoryBreakerStore(), Config(kept=1), LOG)
    async with breakers.running():
        await breakers.trip("x", "by hand")
        breakers.breaker("y")
        gc.collect()
        assert "x" not in breakers.local()
        assert isinstance(breakers.breaker("x").allow(), Refused)


@pytest.mark.parametrize("name", ["", "a" * 201, "a\nb", "\x00"])
async def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a breaker's name"):
        Breakers(MemoryBreakerStore(), Config(), LOG).breaker(name)


def test_the_longest_pattern_that_fits_counts() -> None:
    names: Mapping[str, Any] = {
        "*": BreakerSettings(failures=1), "agent:*": BreakerSettings(failures=2),
        "agent:a*": BreakerSettings(failures=3), "agent:ab": BreakerSettings(failures=4),
    }  # fmt: skip
    config = Config(names=names)
    found = [config.settings_of(name).failures for name in ("x", "agent:", "agent:ax", "agent:ab", "agent:abc")]
    assert found == [1, 2, 3, 4, 3]
    assert Config().settings_of("x") == BreakerSettings()
