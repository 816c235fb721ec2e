"""What a store of breakers promises that several processes share."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel

from tta_breakers.breaker import Breaker, Permit
from tta_breakers.breakers import Breakers
from tta_breakers.model import BreakerSettings, BreakerStore, Refused
from tta_kernel.testing.shared import Shared, Tell

from .calls import breakers_on, eventually, fail, until_given
from .contract import OPENS_FOR_LONG, BreakerStoreContract

QUICK = BreakerSettings(failures=1, rate=None, open=0.02, growth=1, jitter=0.5)
"""Due again at once, and a probe has time."""
HELD_BRIEFLY = BreakerSettings(failures=1, rate=None, open=0.02, growth=1, probe=2.0)
"""Long enough for a process to be killed within it, also on a slow machine."""
ROUNDS = 20


async def fail_elsewhere(store: BreakerStore, tell: Tell) -> None:
    """Let calls fail in another process until the breaker opens, and tell so."""
    async with breakers_on(store, OPENS_FOR_LONG).running() as breakers:
        await fail(breakers.breaker("x"), 3)
    tell("open")


async def hold_probe(store: BreakerStore, tell: Tell) -> None:
    """Make the probe in another process, tell so, and never say how it went."""
    async with breakers_on(store, HELD_BRIEFLY).running() as breakers:
        permit = await until_given(breakers.breaker("x"))
        tell(permit.probe)
        await anyio.sleep_forever()


async def fail_after_a_pause(store: BreakerStore, tell: Tell) -> None:
    """Make the probe in another process, tell so, and let it fail when its time is over."""
    async with breakers_on(store, HELD_BRIEFLY).running() as breakers:
        permit = await until_given(breakers.breaker("x"))
        tell(permit.probe)
        over = breakers.now() + HELD_BRIEFLY.probe
        while breakers.now() < over:
            await anyio.lowlevel.checkpoint()
        permit.failed()
    tell("failed")


async def probe_for_ever(store: BreakerStore, tell: Tell) -> None:
    """Make each probe that is to be had, tell when it began and ended, and let it fail."""
    async with breakers_on(store, QUICK).running() as breakers:
        breaker = breakers.breaker("x")
        tell("ready")
        while True:
            permit = await until_given(breaker)
            began = breakers.now()
            if permit.probe:
                await anyio.sleep(0.005)  # It takes its time.
                tell([began, breakers.now()])
            permit.failed()


class SharedBreakerStoreContract(BreakerStoreContract):
    """Subclass this for a store that several processes share: it is the whole contract.

    Beside the fixture ``store`` it takes ``shared``, a `Shared` that opens one empty store, again and again.
    """

    async def test_two_see_the_same_breaker(self, shared: Shared[BreakerStore]) -> None:
        async with two(shared, OPENS_FOR_LONG) as (one, other):
            here, there = one.breaker("x"), other.breaker("x")
            await fail(here, 2)
            await eventually(lambda: there.record.failures == 2)
            await fail(there)
            await eventually(lambda: here.record.status == "open")
            assert isinstance(here.allow(), Refused)
            assert await one.reset("x")
            await eventually(lambda: there.record.status == "closed")
            assert isinstance(there.allow(), Permit)

    async def test_of_several_that_ask_at_once_one_makes_the_probe(self, shared: Shared[BreakerStore]) -> None:
        async with two(shared, QUICK) as (one, other):
            for number in range(ROUNDS):
                both = [each.breaker(f"x{number}") for each in (one, other)]
                await fail(both[0])
                await eventually(lambda both=both: all(is_due(each) for each in both))  # type: ignore[misc]
                probes: list[Permit] = []
                async with anyio.create_task_group() as tasks:
                    for breaker in 2 * both:
                        tasks.start_soon(ask, breaker, probes)
                assert len(probes) == 1, f"{len(probes)} probes were made at once"

    async def test_what_another_process_sees_is_seen_here(self, shared: Shared[BreakerStore]) -> None:
        async with shared.again() as store, breakers_on(store, OPENS_FOR_LONG).running() as breakers:
            breaker = breakers.breaker("x")
            async with shared.elsewhere(fail_elsewhere) as other:
                await other.until_over()
            await eventually(lambda: breaker.record.status == "open")

    async def test_a_probe_whose_process_is_killed_holds_nobody_up_for_long(self, shared: Shared[BreakerStore]) -> None:
        async with shared.again() as store, breakers_on(store, HELD_BRIEFLY).running() as breakers:
            breaker = breakers.breaker("x")
            await fail(breaker)
            async with shared.elsewhere(hold_probe) as other:
                await other.until_told()
                other.kill()
            await eventually(lambda: breaker.record.probe != "")
            refused = await breaker.admit()
            assert isinstance(refused, Refused), "two make the probe"
            # Each process knows the store's clock but for the length of a round trip.
            assert 0 < refused.again <= 1.5 * HELD_BRIEFLY.probe, f"it may be asked anew in {refused.again} s"
            (await until_given(breaker)).succeeded()
            assert isinstance(breaker.allow(), Permit)

    async def test_a_probe_whose_process_stands_still_is_not_counted_when_another_was_made(
        self, shared: Shared[BreakerStore]
    ) -> None:
        async with shared.again() as store, breakers_on(store, HELD_BRIEFLY).running() as breakers:
            breaker = breakers.breaker("x")
            await fail(breaker)
            async with shared.elsewhere(fail_after_a_pause) as other:
                await other.until_told()
                with other.paused():
                    await eventually(lambda: breaker.record.probe != "")
                    (await until_given(breaker)).succeeded()
                    await eventually(lambda: not breaker.sending and not breaker.waiting)
                await other.until_told(2)
                await other.until_over()
            assert (await store.read()).records["x"].status == "closed"

    async def test_two_processes_never_make_two_probes_at_once(self, shared: Shared[BreakerStore]) -> None:
        async with shared.elsewhere(probe_for_ever) as one, shared.elsewhere(probe_for_ever) as other:
            await one.until_told(ROUNDS // 2)
            await other.until_told(ROUNDS // 2)
            probes = sorted([*one.told[1:], *other.told[1:]])
        overlaps = [(first, second) for first, second in itertools.pairwise(probes) if second[0] < first[1]]
        assert overlaps == []


@asynccontextmanager
async def two(shared: Shared[BreakerStore], settings: BreakerSettings) -> AsyncIterator[tuple[Breakers, Breakers]]:
    """Open the store twice, as two processes do."""
    async with (
        shared.again() as first,
        shared.again() as second,
        breakers_on(first, settings).running() as one,
        breakers_on(second, settings).running() as other,
    ):
        yield one, other


async def ask(breaker: Breaker, probes: list[Permit]) -> None:
    """Ask for the probe."""
    permit = await breaker.admit()
    if isinstance(permit, Permit):
        probes.append(permit)


def is_due(breaker: Breaker) -> bool:
    """Whether a probe is to be had."""
    answer = breaker.allow()
    return isinstance(answer, Refused) and answer.due
