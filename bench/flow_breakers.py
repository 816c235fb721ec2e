"""Decisions of a closed breaker, and whole calls through one, next to those of four libraries."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from statistics import median
from time import process_time_ns

import aiobreaker
import anyio
import circuitbreaker
import purgatory
import pybreaker

from tta_breakers import Breakers, Config, Permit
from tta_breakers.memory import MemoryBreakerStore

GOAL = 250
BATCH, ROUNDS = 20_000, 15

Async = Callable[[int], Awaitable[None]]


async def answer() -> int:
    """Be called, at no cost."""
    return 1


def measure() -> Mapping[str, float]:
    """Print the rows, and return what stands in the JSON."""
    return anyio.run(_measure)


async def _measure() -> Mapping[str, float]:
    async with Breakers(MemoryBreakerStore(), Config(), logging.getLogger("bench")).running() as breakers:
        rows = _ours(breakers) | await _theirs()
        costs: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(ROUNDS):  # In turn, so that all have the same machine.
            for name, make in rows.items():
                before = process_time_ns()
                await make(BATCH)
                costs[name].append((process_time_ns() - before) / BATCH)
    found = {name: median(each) for name, each in costs.items()}
    bare = found["bare call"]
    print(f"\nbreakers, closed: ns of processor time, median of {ROUNDS} batches of {BATCH:,}")
    for name, cost in found.items():
        more = f"  {cost - bare:8.0f} more than the bare call" if "call" in name and name != "bare call" else ""
        print(f"  {name:<28} {cost:8.0f}{more}")
    print(f"  goal: a decision in {GOAL}")
    ours = found["ours, call"] - bare
    return {
        "breaker_ns": round(found["ours, decision"]),
        "breaker_call_ns": round(ours),
        **{f"breaker_ratio_{name}": round((found[f"{name}, call"] - bare) / ours, 1) for name in PEERS},
    }


PEERS = ("pybreaker", "aiobreaker", "purgatory", "circuitbreaker")


def _ours(breakers: Breakers) -> dict[str, Async]:
    async def bare(count: int) -> None:
        for _ in range(count):
            await answer()

    async def decide(count: int) -> None:
        breaker = breakers.breaker("agent:x")
        for _ in range(count):
            breaker.allow()

    async def call(count: int) -> None:
        for _ in range(count):
            permit = breakers.breaker("agent:x").allow()
            assert isinstance(permit, Permit)
            await answer()
            permit.succeeded()

    async def guarded(count: int) -> None:
        for _ in range(count):
            async with breakers.guard("agent:x"):
                await answer()

    return {"bare call": bare, "ours, decision": decide, "ours, call": call, "ours, guarded call": guarded}


async def _theirs() -> dict[str, Async]:
    aio = aiobreaker.CircuitBreaker(fail_max=5)
    circuit = circuitbreaker.CircuitBreaker(failure_threshold=5, name="x")
    plain = pybreaker.CircuitBreaker(fail_max=5)
    factory = purgatory.AsyncCircuitBreakerFactory(default_threshold=5)
    decorated = circuit(answer)

    async def by_aiobreaker(count: int) -> None:
        for _ in range(count):
            await aio.call_async(answer)

    async def by_circuitbreaker(count: int) -> None:
        for _ in range(count):
            await decorated()

    async def by_pybreaker(count: int) -> None:
        # Its own way to await needs tornado: this counts the call that makes the coroutine.
        for _ in range(count):
            await plain.call(answer)

    async def by_purgatory(count: int) -> None:
        for _ in range(count):
            async with await factory.get_breaker("x"):
                await answer()

    return {
        "pybreaker, call": by_pybreaker, "aiobreaker, call": by_aiobreaker, "purgatory, call": by_purgatory,
        "circuitbreaker, call": by_circuitbreaker,
    }  # fmt: skip
