"""What the fast path of messages on Redis saves: the same work with it and without, in turn, on a server of its own."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import anyio
import msgspec

from tta_messages import Message, MessagesConfig
from tta_messages_redis import layout, open_messages
from tta_redis import Redis, connect
from tta_redis.testing import RedisServer, redis_server

FAST = (layout.source("fast_send"), layout.source("fast_receive"))
SIZES = (1, 10, 100)


class Text(msgspec.Struct, frozen=True):
    """What is sent."""

    text: str


class FullPath:
    """A client whose fast scripts say that nothing is eligible, without asking the server."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def __getattr__(self, name: str) -> Any:
        return getattr(self._redis, name)

    def script(self, source: str) -> Callable[..., Any]:
        """Return a script, or what stands for a fast one."""
        return not_eligible if source in FAST else self._redis.script(source)


async def not_eligible(*_: object, **__: object) -> int:
    """Answer as a fast script that did nothing."""
    return 0


async def work(server: RedisServer, size: int, total: int, *, fast: bool) -> tuple[float, float]:
    """Send and receive messages, a batch a call; µs of the server's CPU, and of time, a message."""
    async with connect(server.config()) as redis:
        client: Any = redis if fast else FullPath(redis)
        async with open_messages(client, MessagesConfig(), {"bench.text": Text}) as messages:

            async def some(count: int) -> None:
                for _ in range(count // size):
                    await messages.send(*(Message.to("bench", "bench.text", Text("x" * 200)) for _ in range(size)))
                    held = await messages.receive("bench", limit=size)
                    await messages.ack(*held)

            await some(20 * size)
            before, since = cpu(server), time.perf_counter()
            await some(total)
            return (cpu(server) - before) / total * 1e6, (time.perf_counter() - since) / total * 1e6


def cpu(server: RedisServer) -> float:
    """Return the seconds of CPU that the server's own thread has used."""
    info = server.command("INFO", "cpu")
    return float(info["used_cpu_user_main_thread"]) + float(info["used_cpu_sys_main_thread"])


def medians(server: RedisServer, size: int, total: int, rounds: int) -> tuple[dict[bool, float], dict[bool, float]]:
    """Return the median of Redis's CPU and of time, with the fast path and without."""
    samples: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for _ in range(rounds):
        for fast, those in samples.items():
            those.append(anyio.run(partial(work, server, size, total, fast=fast)))
    costs = {fast: median(each[0] for each in those) for fast, those in samples.items()}
    times = {fast: median(each[1] for each in those) for fast, those in samples.items()}
    return costs, times


def main() -> int:
    """Run both in turn, a few rounds, and print what each costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the messages, for a quick look")
    options = parser.parse_args()
    found: dict[str, float] = {}
    with redis_server(own=True) as server:
        for size in SIZES:
            total = max(size, int(options.scale * 2000 * size**0.5) // size * size)
            costs, times = medians(server, size, total, options.rounds)
            found[f"ratio_{size}"] = round(costs[False] / costs[True], 2)
            print(f"{size:3} a call: µs of Redis a message: fast {costs[True]:.1f}, full {costs[False]:.1f}; ", end="")
            print(f"µs in all: fast {times[True]:.1f}, full {times[False]:.1f}")
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
