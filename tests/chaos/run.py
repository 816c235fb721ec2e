"""A chaos run: servers, processes, and a nemesis that kills both; then the checker's verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import anyio
import msgspec

from tta_messages import MESSAGES, Messages, QueueStats
from tta_redis import Config
from tta_redis.testing import cluster, redis_server, sentinel

from .checker import End, Fault, Verdict, check
from .history import read
from .nemesis import Nemesis, Servers
from .processes import WorkerProcess
from .scenarios import Scenario
from .worker import QUEUE, WorkerSpec, kernel

_DRAIN_TIMEOUT = 20.0
"""Seconds, besides those of the work itself, in which all must be handled once it was sent and the faults are over."""


class Outcome(msgspec.Struct, frozen=True):
    """What a run left; ``faults`` are those of servers."""

    verdict: Verdict
    end: End
    faults: Sequence[Fault]
    seconds: float


async def run(scenario: Scenario, seed: int, folder: Path) -> Outcome:
    """Play a scenario with histories in ``folder``, and judge it."""
    with _servers(scenario) as servers:
        return await _Run(scenario, seed, folder, servers).go()


class _Run:
    def __init__(self, scenario: Scenario, seed: int, folder: Path, servers: Servers) -> None:
        self._scenario, self._folder = scenario, folder
        self._redis = _redis_section(servers.config(socket_timeout=1.0, connect_timeout=1.0))
        self._messages = _messages_sections(scenario)

        def worker(name: str, role: str, **more: Any) -> WorkerProcess:
            spec = WorkerSpec(
                name, role, seed, "", self._redis, self._messages, visibility=scenario.visibility, **more
            )  # fmt: skip
            return WorkerProcess(folder, spec)

        share = {
            "count": scenario.messages // 2, "duration": scenario.duration,
            "work": scenario.work, "failure_rate": scenario.failure_rate,
        }  # fmt: skip
        self._producers = [
            worker("producer0", "producer", poisonous=scenario.poisonous, **share),
            worker("producer1", "producer", **share),
        ]
        self._consumers = [
            worker(f"consumer{number}", "consumer", concurrency=concurrency, start_delay=number * scenario.start_delay)
            for number, concurrency in enumerate(scenario.consumers)
        ]
        self._nemesis = Nemesis(scenario, Random(seed), servers, self._consumers)

    async def go(self) -> Outcome:
        began = time.monotonic()
        with anyio.fail_after(self._scenario.timeout):
            async with kernel(self._redis, self._messages) as running:
                messages = running.get(MESSAGES)
                await self._play(messages)
                end = await _end(messages)
        histories = {path.stem: read(path) for path in sorted(self._folder.glob("*.jsonl"))}
        faults = self._nemesis.faults
        orderly = not (self._scenario.faults or self._scenario.failure_rate or self._scenario.poisonous)
        verdict = check(histories, end, retries=self._scenario.retries, faults=faults, orderly=orderly)
        return Outcome(verdict, end, faults, time.monotonic() - began)

    async def _play(self, messages: Messages) -> None:
        async with anyio.create_task_group() as consumers:
            try:
                for consumer in self._consumers:
                    consumers.start_soon(consumer.supervise)
                async with anyio.create_task_group() as producers:
                    for producer in self._producers:
                        producers.start_soon(producer.supervise)
                    # On a busy machine one process may be at work long before another has found the master.
                    while not all(process.has_started for process in (*self._consumers, *self._producers)):  # noqa: ASYNC110
                        await anyio.sleep(0.05)
                    await _until(messages, lambda stats: stats.delivered > 0)
                    await self._nemesis.run()
                work = 4 * self._scenario.messages * self._scenario.work
                with anyio.move_on_after(_DRAIN_TIMEOUT + work):  # The checker says what is left.
                    await _until(messages, _is_empty)
                for consumer in self._consumers:
                    consumer.stop()
            except BaseException:
                consumers.cancel_scope.cancel()
                raise


async def _until(messages: Messages, condition: Callable[[QueueStats], bool]) -> None:
    while not condition((await messages.stats(QUEUE))[QUEUE]):  # noqa: ASYNC110 - another process's doing
        await anyio.sleep(0.05)


async def _end(messages: Messages) -> End:
    letters = await messages.dead(QUEUE, limit=100_000)
    return End((await messages.stats(QUEUE))[QUEUE], {letter.id: letter.reason for letter in letters})


def _is_empty(stats: QueueStats) -> bool:
    return not (sum(stats.waiting.values()) + stats.delayed + stats.held)


def _redis_section(config: Config) -> dict[str, Any]:
    section = {name: getattr(config, name) for name in ("url", "prefix", "socket_timeout", "connect_timeout")}
    for name in ("sentinel", "cluster"):
        if (value := getattr(config, name)) is not None:
            section[name] = msgspec.to_builtins(value)
    return section


def _messages_sections(scenario: Scenario) -> dict[str, Any]:
    defaults = {
        "visibility": scenario.visibility, "retries": scenario.retries, "backoff_base": 0.05, "backoff_cap": 0.2,
        "max_length": 100_000, "dedup_window": 600.0, "audit_limit": 100, "dead_limit": 100_000,
    }  # fmt: skip
    replication = {"wait_replicas": scenario.wait_replicas, "wait_timeout": 1.0}
    return {"messages": {"defaults": defaults}, "messages-redis": replication}


@contextmanager
def _servers(scenario: Scenario) -> Iterator[Servers]:
    match scenario.topology:
        case "one":
            with redis_server(*scenario.options, own=True) as server:
                yield server
        case "sentinel":
            with sentinel(*scenario.options) as sentinels:
                yield sentinels
        case "cluster":
            with cluster(*scenario.options) as nodes:
                yield nodes
