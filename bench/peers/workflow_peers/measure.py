"""Measures one peer in a process of its own: `python -m workflow_peers.measure NAME REDIS_URL` prints JSON."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter

AT_ONCE = 100
WIDE = 200
SECONDS = 1.0


async def rate(run: Callable[[], Awaitable[None]]) -> float:
    """Return runs a second, one after another."""
    await run()
    count, began = 0, perf_counter()
    while perf_counter() - began < SECONDS:
        await run()
        count += 1
    return count / (perf_counter() - began)


async def rate_at_once(run: Callable[[], Awaitable[None]]) -> float:
    """Return runs a second where a hundred are always under way."""
    count, until = 0, perf_counter() + SECONDS

    async def worker() -> None:
        nonlocal count
        while perf_counter() < until:
            await run()
            count += 1

    began = perf_counter()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))  # noqa: TID251 - the same for peers that know no anyio
    return count / (perf_counter() - began)


async def makespan(run: Callable[[], Awaitable[None]]) -> float:
    """Return for how many seconds two hundred runs that begin together take."""
    await run()
    began = perf_counter()
    await asyncio.gather(*(run() for _ in range(WIDE)))  # noqa: TID251 - as above
    return perf_counter() - began


async def main(name: str, redis_url: str) -> None:
    """Measure all rows that the peer has."""
    figures: dict[str, float] = {}
    async with importlib.import_module(f"workflow_peers.{name}").open_rows(redis_url) as rows:
        for row, run in rows.items():
            if row == "slow":
                figures["makespan"] = await makespan(run)
            else:
                figures[row] = await rate(run)
            if row == "durable":
                figures["durable-100"] = await rate_at_once(run)
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))  # noqa: TID251 - as above
