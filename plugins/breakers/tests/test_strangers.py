"""A store of breakers that misbehaves, whoever wrote it: each process decides alone meanwhile, and nothing fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import anyio
import pytest

from tta_breakers import (
    BreakersError,
    BreakerSettings,
    BreakerStore,
    Permit,
    Record,
    Records,
    Refused,
    Swap,
    guard_store,
)
from tta_breakers.memory import MemoryBreakerStore
from tta_breakers.stores import is_record
from tta_breakers.testing import breakers_on, eventually, fail
from tta_kernel.testing import LIMIT, Outcome, Stranger, strangers

pytestmark = pytest.mark.anyio
TWO_FAILURES = BreakerSettings(failures=2, rate=None, open=600)
FAILURES = (Outcome.FAILURE, Outcome.TIME_LIMIT)


def going_on(all: Sequence[Stranger]) -> Sequence[Stranger]:
    """Leave out what ends the program in order."""
    return [each for each in all if each.outcome is not Outcome.STOP]


ALL = going_on(strangers("async", returns=Records))
# A right answer is one, however late it comes.
FAILING = [each for each in ALL if each.outcome in FAILURES and each.name != "answers late"]


class Odd:
    """A store whose calls do what a stranger does, the first ``times``."""

    def __init__(self, stranger: Stranger, times: int = 3) -> None:
        self._store, self._stranger, self.left = MemoryBreakerStore(), stranger, times

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **how: Any) -> Any:
            if self.left > 0:
                self.left -= 1
                return self._stranger()
            return getattr(self._store, name)(*args, **how)

        return call


@pytest.mark.boundary(
    "tta_breakers.BreakerStore", "tta_breakers.guard_store.store", "tta_breakers.Breakers.__init__.store"
)
@pytest.mark.parametrize("stranger", going_on(strangers("async", returns=Records)), ids=str)
async def test_whatever_a_store_does_this_process_decides_and_tells_it_afterwards(stranger: Stranger) -> None:
    odd = Odd(stranger)
    store = guard_store(cast(BreakerStore, odd), limit=LIMIT)
    with anyio.fail_after(20):
        async with breakers_on(store, TWO_FAILURES, refresh=0.01).running() as breakers:
            breaker = breakers.breaker("x")
            await fail(breaker)
            assert isinstance(breaker.allow(), Permit)
            await fail(breaker)
            assert isinstance(breaker.allow(), Refused)
            await eventually(lambda: not breaker.sending and not breaker.waiting)
            await eventually(lambda: odd.left <= 0 or stranger.outcome is Outcome.HARMLESS)


@pytest.mark.boundary("tta_breakers.Breakers.__init__.publish")
@pytest.mark.parametrize("stranger", going_on(strangers("plain", returns=None)), ids=str)
async def test_whatever_hears_of_changes_breakers_go_on(stranger: Stranger) -> None:
    async with breakers_on(MemoryBreakerStore(), TWO_FAILURES, publish=stranger).running() as breakers:
        breaker = breakers.breaker("x")
        await fail(breaker, 2)
        await eventually(lambda: not breaker.sending and not breaker.waiting)
        assert await breakers.reset("x")
        assert isinstance(breaker.allow(), Permit)


@pytest.mark.parametrize("stranger", FAILING, ids=str)
async def test_what_it_does_instead_of_answering_is_an_error_of_ours(stranger: Stranger) -> None:
    store = guard_store(cast(BreakerStore, Odd(stranger)), limit=LIMIT)
    with anyio.fail_after(20), pytest.raises(BreakersError, match="test_strangers"):
        await store.read()
    with anyio.fail_after(20), pytest.raises(BreakersError, match="test_strangers"):
        await store.swap([Swap("x", "", Record())])


@pytest.mark.parametrize(
    "wrong",
    [
        {"x": None}, {"x": Record(status="ajar")}, {"x": Record(until=float("nan"))}, {"x": Record(opens=-1)},  # type: ignore[arg-type]
        {1: Record()}, [], None,
    ],
)  # fmt: skip
async def test_an_answer_that_is_wrong_within_is_one_as_well(wrong: Any) -> None:
    class Wrong(MemoryBreakerStore):
        async def read(self) -> Records:
            return Records(1.0, wrong)

        async def swap(self, swaps: Sequence[Swap]) -> Records:
            return Records(float("inf"), {})

        async def news(self, *, wait: float) -> Mapping[str, Record] | None:
            return cast(Mapping[str, Record], 1)

    store = guard_store(Wrong())
    for call in (store.read(), store.swap([Swap("x", "", Record())]), store.news(wait=0.0)):
        with pytest.raises(BreakersError, match="that is wrong"):
            await call
    assert is_record(Record())
