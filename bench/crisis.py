"""How long it takes from a disclosure to the first notification, in memory and on Redis: see README.md."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from statistics import quantiles
from time import perf_counter
from typing import Any

import anyio

from tta_agents_redis import AgentsRedis
from tta_crisis import CRISIS
from tta_crisis.testing import deployment, disclosure, finding
from tta_crisis_redis import CrisisRedis
from tta_kernel import Kernel, NoConfig, Plugin, hookimpl
from tta_notify import NOTIFY, Accepted, Channel, Message, Notification, NotifyLocal, Receipt
from tta_notify_redis import NotifyRedis
from tta_redis import RedisPlugin
from tta_redis.testing import redis_server
from tta_sessions_redis import SessionsRedis
from tta_workflows_redis import WorkflowsRedis

GOAL = 50.0
"""Milliseconds to the handing over."""
WHATS = ("handed_over", "sent", "open")
WARM = 10
"""How many go before those that count."""
ON_REDIS: Mapping[str, type[Plugin[Any]]] = {
    "redis": RedisPlugin, "agents-redis": AgentsRedis, "sessions-redis": SessionsRedis,
    "workflows-redis": WorkflowsRedis, "notify-redis": NotifyRedis, "crisis-redis": CrisisRedis,
}  # fmt: skip


class Pager(Channel):
    """Takes whatever comes, and notes when."""

    name = "pager"
    personal = False

    def __init__(self) -> None:
        self.came: dict[str, float] = {}
        self.more = anyio.Event()

    async def send(self, message: Message) -> Accepted:
        self.came.setdefault(message.about.get("intervention", ""), perf_counter())
        self.more.set()
        return Accepted()


class Clock:
    """Notes when the first notification of an intervention was handed over."""

    def __init__(self, kernel: Kernel) -> None:
        self.handed: dict[str, float] = {}
        notifier = kernel.get(NOTIFY)
        before = notifier.notify

        async def notify(notification: Notification) -> Receipt:
            receipt = await before(notification)
            self.handed.setdefault(notification.about.get("intervention", ""), perf_counter())
            return receipt

        notifier.notify = notify  # type: ignore[method-assign]  # only to look at the clock


async def measure(count: int, url: str = "") -> Mapping[str, float]:
    """Open ``count`` interventions, one after the other; return milliseconds."""
    pager = Pager()

    class Paging(Plugin[NoConfig]):
        @hookimpl
        def notification_channels(self) -> Sequence[Channel]:
            return [pager]

    more: dict[str, type[Plugin[Any]]] = {"paging": Paging, "notify-local": NotifyLocal, **(ON_REDIS if url else {})}
    memory = [f"{name}-memory" for name in ("agents", "sessions", "workflows", "notify", "crisis")] if url else []
    notify = {"need_humans": False, "severities": {"high": {"channels": ["pager"]}}}
    handed, sent, returned = [], [], []
    redis = {"redis": {"url": url}} if url else {}
    async with deployment(*memory, more=more, notify=notify, **redis) as kernel:
        clock, crises = Clock(kernel), kernel.get(CRISIS)
        for number in range(count + WARM):
            told = disclosure(f"r{number}", finding(severity=4), session=f"s{number}")
            began = perf_counter()
            [opened] = await crises.open(told)
            returned.append(perf_counter() - began)
            while opened.id not in pager.came:
                pager.more = anyio.Event()
                await pager.more.wait()
            handed.append(clock.handed[opened.id] - began)
            sent.append(pager.came[opened.id] - began)
    return {
        f"{name}_{which}": round(1000 * value, 2)
        for name, times in zip(WHATS, (handed, sent, returned), strict=True)
        for which, value in zip(("p50", "p99"), _ranks(times), strict=True)
    }


def _ranks(times: Sequence[float]) -> tuple[float, float]:
    cuts = quantiles(times[WARM:], n=100)
    return cuts[49], cuts[98]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    chosen = parser.parse_args()
    found = {"memory": anyio.run(measure, chosen.count)}
    with redis_server("--appendonly", "yes", own=True) as server:
        found["redis"] = anyio.run(measure, chosen.count, server.url)
    print(f"{'':10} {'handed over':>22} {'sent':>22} {'open returns':>22}   ms, p50 and p99")
    for name, times in found.items():
        cells = [f"{times[f'{what}_p50']:>10.1f} {times[f'{what}_p99']:>11.1f}" for what in WHATS]
        print(f"{name:10} {' '.join(cells)}")
    worst = max(times["handed_over_p99"] for times in found.values())
    print(f"the goal is {GOAL:g} ms to the handing over; {'met' if worst < GOAL else 'MISSED'} at p99")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
