"""What a command costs through `tta_redis` and through redis-py: one caller, and a hundred at once."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable

import anyio
import redis.asyncio

from tta_redis import connect
from tta_redis.testing import redis_server

ROUNDS = 5
COMMANDS = {1: 2_000, 100: 20_000}
"""How many a round has, by the number of callers."""

Get = Callable[[str], Awaitable[object]]


async def microseconds(get: Get, callers: int) -> tuple[float, float]:
    """Return wall-clock and processor time of this process for one command."""
    each = COMMANDS[callers] // callers

    async def call() -> None:
        for _ in range(each):
            await get("key")

    wall = time.perf_counter()
    used = time.process_time()
    async with anyio.create_task_group() as tasks:
        for _ in range(callers):
            tasks.start_soon(call)
    count = each * callers / 1e6
    return (time.perf_counter() - wall) / count, (time.process_time() - used) / count


async def main() -> None:
    """Measure in turn, and print medians."""
    with redis_server(own=True) as server:
        pool = redis.asyncio.BlockingConnectionPool.from_url(server.url, max_connections=100, timeout=None)
        theirs = redis.asyncio.Redis(connection_pool=pool)
        async with connect(server.config()) as ours:
            clients: dict[str, Get] = {
                "tta_redis": lambda key: ours.execute("GET", key),
                "redis-py, a connection each": theirs.get,
            }
            for callers in COMMANDS:
                found: dict[str, list[tuple[float, float]]] = {name: [] for name in clients}
                for _ in range(ROUNDS + 1):
                    for name, get in clients.items():
                        found[name].append(await microseconds(get, callers))
                for name, rounds in found.items():
                    wall, used = (statistics.median(times) for times in zip(*rounds[1:], strict=True))
                    print(
                        f"{callers:>4} callers  {name:<28} {wall:7.1f} µs a command, {used:7.1f} µs of processor time"
                    )
        await theirs.aclose()
        await pool.aclose()


if __name__ == "__main__":
    anyio.run(main)
