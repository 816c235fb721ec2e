"""What tests of breakers need: a clock that they move, and waiting until something is so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel

from tta_breakers.breaker import Breaker, Permit
from tta_breakers.breakers import Breakers
from tta_breakers.config import Config
from tta_breakers.model import BreakerSettings, BreakerStore, Refused
from tta_kernel import Event

LONG = 20.0
"""Seconds for what should take milliseconds: an upper bound, so that a failure shows."""


class Time:
    """A clock; ``now`` is moved by hand."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


async def eventually(is_so: Callable[[], bool]) -> None:
    """Wait until it is so."""
    with anyio.fail_after(LONG):
        while not is_so():
            await anyio.lowlevel.checkpoint()


class TimedBreakers(Breakers):
    """Breakers of a process whose clock a test moves."""

    def __init__(self, clock: Callable[[], float], *more: Any) -> None:
        self.clock = clock
        super().__init__(*more)


def breakers_on(
    store: BreakerStore, settings: BreakerSettings | None = None, *, refresh: float = 30.0,
    publish: Callable[[Event], None] | None = None, clock: Callable[[], float] | None = None,
) -> Breakers:  # fmt: skip
    """Return breakers of one process, all with the same settings."""
    config = Config(names={"*": settings or BreakerSettings()}, refresh=refresh)
    log = logging.getLogger("tta.breakers")
    return TimedBreakers(clock, store, config, log, publish) if clock else Breakers(store, config, log, publish)


async def given(breaker: Breaker) -> Permit:
    """Return the permit that a breaker gives, or fail."""
    permit = await breaker.admit()
    assert isinstance(permit, Permit), f"it refused: {permit}"
    return permit


async def until_given(breaker: Breaker) -> Permit:
    """Ask when it says that one may, or earlier, until it gives a permit."""
    with anyio.fail_after(LONG):
        while isinstance(answer := await breaker.admit(), Refused):  # noqa: ASYNC110 - time must pass
            await anyio.sleep(min(answer.again, 0.01) + 0.001)
        return answer


async def fail(breaker: Breaker, times: int = 1) -> None:
    """Make calls, all of which fail."""
    for _ in range(times):
        (await given(breaker)).failed()
