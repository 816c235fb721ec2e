"""What happens to processes and servers during a run: they are killed, and stopped for a while."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import anyio
import anyio.to_thread
from redis.exceptions import ConnectionError, TimeoutError

from tta_redis.testing import RedisCluster, RedisServer, Sentinels, wait_until

from .checker import Fault
from .processes import WorkerProcess
from .scenarios import FaultName, Scenario
from .worker import QUEUE

Servers = RedisServer | Sentinels | RedisCluster


class Nemesis:
    """Injects a scenario's faults one after another; ``faults`` are those of servers, for the checker."""

    def __init__(
        self, scenario: Scenario, random: Random, servers: Servers, consumers: Sequence[WorkerProcess]
    ) -> None:
        self._scenario, self._random = scenario, random
        self._servers, self._consumers = servers, consumers
        self.faults: list[Fault] = []

    async def run(self) -> None:
        names = self._scenario.faults
        for number, name in enumerate(names, 1):
            await anyio.sleep(self._random.uniform(0.2, 1.8) * self._scenario.fault_interval)
            await self._inject(name, last=number == len(names))

    async def _inject(self, name: FaultName, *, last: bool) -> None:
        match name:
            case "kill-consumer":
                self._random.choice(self._consumers).send_signal(signal.SIGKILL)
            case "stop-consumer":
                victim = self._random.choice(self._consumers)
                victim.send_signal(signal.SIGSTOP)
                await anyio.sleep(self._scenario.visibility * self._random.uniform(1.3, 2.0))
                victim.send_signal(signal.SIGCONT)
            case "kill-redis":
                await self._fail_master(RedisServer.kill, RedisServer.start, rejoins=not last)
            case "pause-redis":
                # A master that was silent and wakes up still takes itself for one, and serves who finds it, until it
                # follows the other.
                await self._fail_master(RedisServer.pause, RedisServer.resume, rejoins=True)

    async def _fail_master(
        self, fail: Callable[[RedisServer], None], recover: Callable[[RedisServer], None], *, rejoins: bool
    ) -> None:
        """Fail the master, wait for another if there can be one, and recover it; ``rejoins``: as a replica."""
        replicated = not isinstance(self._servers, RedisServer)
        server = self._master()
        at = time.time()
        fail(server)
        if replicated:
            await _until(lambda: self._master(server) is not server, "another is the master")
        await anyio.sleep(self._random.uniform(0, 0.5))
        await anyio.to_thread.run_sync(recover, server)
        if replicated and rejoins:
            await _until(lambda: _is_replica(server), "the old master follows", limit=30.0)
        keeps_sends = bool(self._scenario.wait_replicas)
        self.faults.append(Fault(at, time.time(), self._scenario.loss_window, keeps_sends=keeps_sends))

    def _master(self, without: RedisServer | None = None) -> RedisServer:
        """Return the master of the queue, as a server other than ``without`` sees it."""
        match self._servers:
            case RedisServer():
                return self._servers
            case Sentinels():
                return self._servers.master()
            case _:
                nodes = self._servers.nodes
                asked = next(number for number, node in enumerate(nodes) if node is not without)
                return self._servers.owner(f"x{{{QUEUE}}}", asked)


def _is_replica(server: RedisServer) -> bool:
    info = server.command("INFO", "replication")
    return bool(info["role"] == "slave" and info["master_link_status"] == "up")


async def _until(condition: Callable[[], bool], what: str, **limit: Any) -> None:
    def holds() -> bool:
        try:
            return condition()
        except (ConnectionError, TimeoutError):
            return False  # A server hangs up when its role changes.

    await anyio.to_thread.run_sync(lambda: wait_until(holds, what, **limit))
