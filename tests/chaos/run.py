"""A chaos run: servers, processes, and a nemesis that kills both; then the checker's verdict."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal

import anyio
import anyio.abc
import anyio.to_thread
import msgspec
from redis.exceptions import ConnectionError, TimeoutError

from tta_kernel import Kernel
from tta_messages import MESSAGES, Messages, QueueStats
from tta_redis import Config
from tta_redis.testing import RedisCluster, RedisServer, Sentinels, cluster, redis_server, sentinel, wait_until

from .checker import End, Fault, Verdict, check
from .history import read
from .worker import QUEUE, Spec, kernel

FaultName = Literal["kill-consumer", "stop-consumer", "kill-redis", "pause-redis"]
_DRAINING = 20.0
"""Seconds, besides those of the work itself, in which all must be handled after everything was sent and struck."""
_PYTHONPATH = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]))


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario. ``lossy``: seconds before a server's death of which it may have forgotten what it answered."""

    topology: Literal["one", "sentinel", "cluster"] = "one"
    options: tuple[str, ...] = ()
    wait_replicas: int = 0
    consumers: tuple[int, ...] = (1, 4)
    """How many handlers each consumer runs at a time."""
    messages: int = 400
    lasts: float = 2.0
    work: float = 0.01
    fails: float = 0.0
    kills: int = 0
    retries: int = 8
    visibility: float = 1.0
    faults: tuple[FaultName, ...] = ()
    pause: float = 0.5
    lossy: float = 0.0
    patience: float = 55.0


class Outcome(msgspec.Struct, frozen=True):
    """What a run left; ``faults`` are those of servers."""

    verdict: Verdict
    end: End
    faults: Sequence[Fault]
    seconds: float


class _Process:
    """A worker that is started again whenever it is killed; each life has a history of its own."""

    def __init__(self, folder: Path, spec: Spec) -> None:
        self._folder, self._spec, self._lives = folder, spec, 0
        self.name = spec.name
        self.process: anyio.abc.Process | None = None
        self.ending = False

    async def live(self) -> None:
        while not self.ending:
            self._lives += 1
            name = f"{self.name}-{self._lives}"
            history, spec = self._folder / f"{name}.jsonl", self._folder / f"{name}.json"
            spec.write_bytes(msgspec.json.encode(msgspec.structs.replace(self._spec, history=str(history))))
            with (self._folder / f"{name}.log").open("wb") as log:
                self.process = await anyio.open_process(
                    [sys.executable, "-m", f"{__package__}.worker", str(spec)],
                    stdin=None, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": _PYTHONPATH},
                )  # fmt: skip
            try:
                code = await self.process.wait()
            finally:
                if self.process.returncode is None:
                    self.process.kill()
            if self.ending and code in (0, -signal.SIGTERM, -signal.SIGKILL):
                return
            if code == 0 and self._spec.role == "producer":
                return
            if code != -signal.SIGKILL:
                raise AssertionError(f"{name} ended with {code}: {(self._folder / f'{name}.log').read_text()[-3000:]}")

    def send(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)


class _Run:
    def __init__(self, plan: Plan, seed: int, folder: Path, servers: RedisServer | Sentinels | RedisCluster) -> None:
        self._plan, self._folder, self._servers = plan, folder, servers
        self._random = Random(seed)
        config = servers.config(socket_timeout=1.0, connect_timeout=1.0)
        shown = {name: getattr(config, name) for name in ("url", "prefix", "socket_timeout", "connect_timeout")}
        self._redis = {**shown, **_where(config)}
        defaults = {
            "visibility": plan.visibility, "retries": plan.retries, "backoff_base": 0.05, "backoff_cap": 0.2,
            "max_length": 100_000, "dedup_window": 600.0, "audit_limit": 100, "dead_limit": 100_000,
        }  # fmt: skip
        self._messages = {"defaults": defaults, "wait_replicas": plan.wait_replicas, "wait_timeout": 1.0}
        self._faults: list[Fault] = []

        def spec(name: str, role: str, **more: Any) -> Spec:
            return Spec(name, role, seed, "", self._redis, self._messages, visibility=plan.visibility, **more)

        share = {"count": plan.messages // 2, "lasts": plan.lasts, "work": plan.work, "fails": plan.fails}
        kills = [plan.kills, 0]
        self._producers = [
            _Process(folder, spec(f"producer{n}", "producer", kills=kills[n], **share)) for n in range(2)
        ]
        self._consumers = [
            _Process(folder, spec(f"consumer{n}", "consumer", concurrency=each))
            for n, each in enumerate(plan.consumers)
        ]

    async def go(self) -> Outcome:
        began = time.monotonic()
        with anyio.fail_after(self._plan.patience):
            async with kernel(self._redis, self._messages) as running:
                await self._play(running.get(MESSAGES))
                end = await self._end(running)
        histories = {path.stem: read(path) for path in sorted(self._folder.glob("*.jsonl"))}
        verdict = check(
            histories, end, retries=self._plan.retries, faults=self._faults,
            orderly=not (self._plan.faults or self._plan.fails or self._plan.kills),
        )  # fmt: skip
        return Outcome(verdict, end, self._faults, time.monotonic() - began)

    async def _play(self, messages: Messages) -> None:
        async with anyio.create_task_group() as lives:
            try:
                for consumer in self._consumers:
                    lives.start_soon(consumer.live)
                async with anyio.create_task_group() as producers:
                    for producer in self._producers:
                        producers.start_soon(producer.live)
                    await self._until(messages, lambda stats: stats.delivered > 0)
                    for number, fault in enumerate(self._plan.faults, 1):
                        await anyio.sleep(self._random.uniform(0.2, 1.8) * self._plan.pause)
                        await self._strike(fault, last=number == len(self._plan.faults))
                work = 4 * self._plan.messages * self._plan.work
                with anyio.move_on_after(_DRAINING + work):  # The checker says what is left.
                    await self._until(messages, _empty)
                for consumer in self._consumers:
                    consumer.ending = True
                    consumer.send(signal.SIGTERM)
            except BaseException:
                lives.cancel_scope.cancel()
                raise

    async def _until(self, messages: Messages, holds: Callable[[QueueStats], bool]) -> None:
        while not holds((await messages.stats(QUEUE))[QUEUE]):  # noqa: ASYNC110 - another process's doing
            await anyio.sleep(0.05)

    async def _end(self, running: Kernel) -> End:
        messages = running.get(MESSAGES)
        letters = await messages.dead(QUEUE, limit=100_000)
        return End((await messages.stats(QUEUE))[QUEUE], {letter.id: letter.reason for letter in letters})

    # The nemesis

    async def _strike(self, fault: FaultName, *, last: bool) -> None:
        match fault:
            case "kill-consumer":
                self._random.choice(self._consumers).send(signal.SIGKILL)
            case "stop-consumer":
                victim = self._random.choice(self._consumers)
                victim.send(signal.SIGSTOP)
                await anyio.sleep(self._plan.visibility * self._random.uniform(1.3, 2.0))
                victim.send(signal.SIGCONT)
            case "kill-redis":
                await self._of_server(lambda server: server.kill(), lambda server: server.start(), last=last)
            case "pause-redis":
                await self._of_server(lambda server: server.pause(), lambda server: server.resume(), last=False)

    async def _of_server(
        self, strike: Callable[[RedisServer], None], mend: Callable[[RedisServer], None], *, last: bool
    ) -> None:
        """Strike whoever is in charge, wait until another is, and mend it; unless it is the ``last``, it must follow.

        One that was silent and wakes up still takes itself for the master, and serves who finds it, until it follows.
        """
        servers, server = self._servers, self._in_charge()
        at = time.time()
        strike(server)
        if isinstance(servers, RedisServer):
            await anyio.sleep(self._random.uniform(0, 0.5))
        else:
            await _in_thread(wait_until, _sure(lambda: self._in_charge(server) is not server), "another is in charge")
            await anyio.sleep(self._random.uniform(0, 0.5))
        await _in_thread(mend, server)
        if not (isinstance(servers, RedisServer) or last):
            follows = partial(wait_until, _sure(lambda: _follows(server)), "the old master follows", limit=30.0)
            await _in_thread(follows)
        keeps = bool(self._plan.wait_replicas)
        self._faults.append(Fault(at, time.time(), self._plan.lossy, keeps_sends=keeps))

    def _in_charge(self, without: RedisServer | None = None) -> RedisServer:
        """Return the master of the queue, as somebody other than ``without`` sees it."""
        match self._servers:
            case RedisServer():
                return self._servers
            case Sentinels():
                return self._servers.master()
            case _:
                nodes = self._servers.nodes
                asked = next(number for number, node in enumerate(nodes) if node is not without)
                return self._servers.owner(f"x{{{QUEUE}}}", asked)


def _empty(stats: QueueStats) -> bool:
    return not (sum(stats.waiting.values()) + stats.delayed + stats.held)


def _where(config: Config) -> dict[str, Any]:
    return {
        name: msgspec.to_builtins(value)
        for name in ("sentinel", "cluster")
        if (value := getattr(config, name)) is not None
    }


def _follows(server: RedisServer) -> bool:
    info = server.command("INFO", "replication")
    return bool(info["role"] == "slave" and info["master_link_status"] == "up")


def _sure(holds: Callable[[], bool]) -> Callable[[], bool]:
    """Take a server that hangs up, as it does when its role changes, for a no."""

    def sure() -> bool:
        try:
            return holds()
        except (ConnectionError, TimeoutError):
            return False

    return sure


async def _in_thread(do: Callable[..., Any], *args: Any) -> None:
    await anyio.to_thread.run_sync(do, *args)


@contextmanager
def _servers(plan: Plan) -> Iterator[RedisServer | Sentinels | RedisCluster]:
    match plan.topology:
        case "one":
            with redis_server(*plan.options, own=True) as server:
                yield server
        case "sentinel":
            with sentinel(*plan.options) as sentinels:
                yield sentinels
        case "cluster":
            with cluster(*plan.options) as nodes:
                yield nodes


async def run(plan: Plan, seed: int, folder: Path) -> Outcome:
    """Play a scenario with histories in ``folder``, and judge it."""
    with _servers(plan) as servers:
        return await _Run(plan, seed, folder, servers).go()
