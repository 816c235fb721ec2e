"""What an accepted message is worth, by persistence and topology: accept, kill, go on, and count; see README.md."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.abc
import anyio.to_thread
import msgspec
from redis.exceptions import ConnectionError, TimeoutError

from tta_kernel import Kernel, KernelSettings, NoConfig, Plugin, PluginSettings, hookimpl
from tta_messages import MESSAGES, Delivery, Message, Messages, MessagesError, MessagesPlugin, consume_batches
from tta_messages_redis import RedisMessagesPlugin
from tta_redis import Config, RedisPlugin
from tta_redis.testing import RedisServer, cluster, redis_server, sentinel, wait_until

QUEUE = "durable"
LANES, BATCH = 4, 10
SENDING = 1.5
"""Seconds until the blow."""
OPTIONS: Mapping[str, Sequence[str]] = {
    "none": (),
    "everysec": ("--appendonly", "yes", "--appendfsync", "everysec"),
    "always": ("--appendonly", "yes", "--appendfsync", "always"),
}
PLUGINS: Mapping[str, type[Plugin[Any]]] = {
    "redis": RedisPlugin, "messages": MessagesPlugin, "messages-redis": RedisMessagesPlugin
}  # fmt: skip
# Notes how much of a file the last fdatasync that has ended brought to the disk for certain, and can slow it down.
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int noted(int fd, const char *name) {
    int (*real)(int) = (int (*)(int)) dlsym(RTLD_NEXT, name);
    const char *slow = getenv("SYNC_SLOW_US");
    struct stat at;
    char link[64], path[4000], note[4096], text[32];
    int known = fstat(fd, &at) == 0;
    if (slow) usleep(atoi(slow));
    int result = real(fd);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (result == 0 && known && S_ISREG(at.st_mode) && size > 0) {
        path[size] = 0;
        snprintf(note, sizeof note, "%s.synced", path);
        int out = open(note, O_WRONLY | O_CREAT, 0600);
        if (out >= 0) {
            int length = snprintf(text, sizeof text, "%020lld", (long long) at.st_size);
            if (pwrite(out, text, length, 0) < 0) perror("note");
            close(out);
        }
    }
    return result;
}
int fdatasync(int fd) { return noted(fd, "fdatasync"); }
int fsync(int fd) { return noted(fd, "fsync"); }
"""


class Cell(NamedTuple):
    """One line of the table."""

    topology: str
    persistence: str
    replicas: int = 0


class Round(msgspec.Struct):
    """What one blow did; ``oldest``: how many seconds before it the oldest lost message was accepted."""

    accepted: int = 0
    lost: int = 0
    twice: int = 0
    rate: float = 0.0
    oldest: float = 0.0


Blow = Callable[[], Awaitable[Config]]
"""Strikes, waits until somebody is in charge, and returns where."""


class Types(Plugin[NoConfig]):
    """Declares what is sent."""

    @hookimpl
    def message_types(self) -> Mapping[str, type[msgspec.Struct]]:
        """Return the one type."""
        return {"bench.text": Text}


class Text(msgspec.Struct, frozen=True):
    """What is sent."""

    text: str


def kernel(config: Config, replicas: int) -> Kernel:
    """Return what a user would run."""
    redis: dict[str, Any] = {"url": config.url, "prefix": config.prefix, "socket_timeout": 1.0, "connect_timeout": 1.0}
    for name in ("sentinel", "cluster"):
        if (value := getattr(config, name)) is not None:
            redis[name] = msgspec.to_builtins(value)
    configs: dict[str, dict[str, Any]] = {
        "redis": redis,
        "messages": {"defaults": {"max_length": 10_000_000, "visibility": 2.0, "retries": 100}},
        "messages-redis": {"wait_replicas": replicas, "wait_timeout": 0.5},
    }
    settings = {name: PluginSettings(config=config) for name, config in configs.items()}
    return Kernel(KernelSettings(plugins=settings), plugins={**PLUGINS, "types": Types})


# The topologies


async def in_thread(do: Callable[..., Any], *args: Any) -> None:
    """Do what waits for a server elsewhere than in the event loop."""
    await anyio.to_thread.run_sync(do, *args)


def sure(holds: Callable[[], bool]) -> Callable[[], bool]:
    """Take a server that hangs up for a no."""

    def found() -> bool:
        try:
            return holds()
        except (ConnectionError, TimeoutError):
            return False

    return found


@asynccontextmanager
async def standalone(options: Sequence[str]) -> AsyncIterator[tuple[Config, Blow]]:
    """One server, killed and started again."""
    with redis_server(*options, own=True) as server:
        config = server.config()

        async def blow() -> Config:
            server.kill()
            await in_thread(server.start)
            return config

        yield config, blow


@asynccontextmanager
async def slow_disk(options: Sequence[str]) -> AsyncIterator[tuple[Config, Blow]]:
    """As `standalone`, while each fsync takes a second."""
    with preloaded(1_000_000):
        async with standalone(options) as found:
            yield found


@asynccontextmanager
async def power_loss(options: Sequence[str]) -> AsyncIterator[tuple[Config, Blow]]:
    """One server that is killed, and loses whatever it had not brought to the disk."""
    with preloaded(0), redis_server(*options, own=True) as server:
        config = server.config()

        def lose() -> None:
            server.kill()
            for file in server.folder.rglob("*.incr.aof"):
                note = file.with_name(file.name + ".synced")
                os.truncate(file, int(note.read_text()) if note.exists() else 0)
            server.start()

        async def blow() -> Config:
            await in_thread(lose)
            return config

        yield config, blow


@contextmanager
def preloaded(slow: int) -> Iterator[None]:
    """Let servers that are started here note what they sync, and take so many µs for it."""
    with tempfile.TemporaryDirectory(prefix="tta-shim-") as folder:
        source, library = Path(folder, "shim.c"), Path(folder, "shim.so")
        source.write_text(SHIM)
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
        more = {"LD_PRELOAD": str(library), **({"SYNC_SLOW_US": str(slow)} if slow else {})}
        os.environ.update(more)
        try:
            yield
        finally:
            for name in more:
                del os.environ[name]


@asynccontextmanager
async def sentinels(options: Sequence[str]) -> AsyncIterator[tuple[Config, Blow]]:
    """Run a master and a replica behind three Sentinels; the master is killed."""
    with sentinel(*options) as several:
        config = several.config()

        async def blow() -> Config:
            old = several.master()
            old.kill()
            await in_thread(wait_until, sure(lambda: several.master() is not old), "another is the master")
            return config

        yield config, blow


@asynccontextmanager
async def too_quick(options: Sequence[str]) -> AsyncIterator[tuple[Config, Blow]]:
    """As `sentinels`, but the master is there again before anybody misses it."""
    with sentinel(*options, down_after=5.0) as several:
        config = several.config()

        async def blow() -> Config:
            old = several.master()
            old.kill()
            await in_thread(old.start)
            await in_thread(wait_until, sure(several.ready), "the replica is in step")
            return config

        yield config, blow


@asynccontextmanager
async def clustered(options: Sequence[str]) -> AsyncIterator[tuple[Config, Blow]]:
    """Three masters with a replica each; the queue's master is killed."""
    with cluster(*options) as nodes:
        config = nodes.config()

        async def blow() -> Config:
            key = f"x{{{QUEUE}}}"
            old = nodes.owner(key)
            old.kill()
            await in_thread(wait_until, sure(lambda: nodes.owner(key) is not old), "another has the slot")
            return config

        yield config, blow


def far_replica(delay: float) -> Callable[[Sequence[str]], Any]:
    """Return a topology: a replica so many seconds away, which is promoted when the master and the line to it die."""

    @asynccontextmanager
    async def far(options: Sequence[str]) -> AsyncIterator[tuple[Config, Blow]]:
        own = (*options, "--repl-diskless-sync-delay", "0")
        async with AsyncExitStack() as stack:
            master = stack.enter_context(redis_server(*own, own=True))
            replica = stack.enter_context(redis_server(*own, own=True))
            tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(tasks.cancel_scope.cancel)
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
            line = anyio.CancelScope()
            tasks.start_soon(relay, listener, master.port, delay, line)
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            await in_thread(replica.command, "REPLICAOF", "127.0.0.1", port)
            await in_thread(wait_until, sure(lambda: follows(replica)), "the replica is in step")
            config = master.config()

            async def blow() -> Config:
                line.cancel()
                master.kill()
                await in_thread(replica.command, "REPLICAOF", "NO", "ONE")
                return msgspec.structs.replace(config, url=replica.url)

            yield config, blow

    return far


def follows(server: RedisServer) -> bool:
    """Whether it is a replica that has heard everything up to now."""
    info = server.command("INFO", "replication")
    return bool(info["role"] == "slave" and info["master_link_status"] == "up")


async def relay(listener: Any, port: int, delay: float, line: anyio.CancelScope) -> None:
    """Hand on what is said, until ``line`` is cut; what the server says, later."""

    async def serve(replica: anyio.abc.SocketStream) -> None:
        async with replica, await anyio.connect_tcp("127.0.0.1", port) as master, anyio.create_task_group() as tasks:
            push, pull = anyio.create_memory_object_stream[tuple[float, bytes]](100_000)

            async def receive() -> None:
                async for data in master:
                    await push.send((anyio.current_time() + delay, data))

            async def tell() -> None:
                async for due, data in pull:
                    await anyio.sleep_until(due)
                    await replica.send(data)

            tasks.start_soon(receive)
            tasks.start_soon(tell)
            async for data in replica:
                await master.send(data)
            tasks.cancel_scope.cancel()

    with line:
        await listener.serve(serve)


TOPOLOGIES: Mapping[str, Callable[[Sequence[str]], Any]] = {
    "one server, killed and started": standalone,
    "one server, killed, fsync takes 1 s": slow_disk,
    "one server, power loss (simulated)": power_loss,
    "Sentinel, master killed": sentinels,
    "Sentinel, master back before it is missed": too_quick,
    "Cluster, master killed": clustered,
    "replica 1 ms away, promoted": far_replica(0.001),
    "replica 10 ms away, promoted": far_replica(0.01),
    "replica 100 ms away, promoted": far_replica(0.1),
}
CELLS = [
    *(Cell("one server, killed and started", each, replicas) for replicas in (0, 1) for each in OPTIONS),
    Cell("one server, killed, fsync takes 1 s", "everysec"),
    *(Cell("one server, power loss (simulated)", each) for each in OPTIONS),
    *(Cell("Sentinel, master killed", each, replicas) for each in OPTIONS for replicas in (0, 1)),
    *(Cell("Sentinel, master back before it is missed", each, 1) for each in OPTIONS),
    *(Cell("Cluster, master killed", each, replicas) for each in OPTIONS for replicas in (0, 1)),
    *(Cell(f"replica {ms} ms away, promoted", "none", replicas) for ms in (1, 10, 100) for replicas in (0, 1)),
]


# One blow


class Play:
    """Sends, consumes some of it, strikes, and consumes the rest."""

    def __init__(self, cell: Cell, number: int) -> None:
        self._cell, self._number = cell, number
        self._accepted: dict[str, float] = {}
        self._handled: Counter[str] = Counter()
        self._hurry = self._over = False

    async def go(self) -> Round:
        """Return what was lost."""
        async with TOPOLOGIES[self._cell.topology](OPTIONS[self._cell.persistence]) as (config, blow):
            began = time.monotonic()
            async with kernel(config, self._cell.replicas) as running, anyio.create_task_group() as tasks:
                async with anyio.create_task_group() as lanes:
                    tasks.start_soon(consume_batches, running.get(MESSAGES), QUEUE, self._handle)
                    for lane in range(LANES):
                        lanes.start_soon(self._send, running.get(MESSAGES), lane)
                    await anyio.sleep(SENDING)
                    struck, self._over = time.monotonic(), True
                    after = await blow()
                    lanes.cancel_scope.cancel()
                if after is config:
                    await self._drain(running)
                tasks.cancel_scope.cancel()
            if after is not config:
                async with kernel(after, 0) as other, anyio.create_task_group() as tasks:
                    tasks.start_soon(consume_batches, other.get(MESSAGES), QUEUE, self._handle)
                    await self._drain(other)
                    tasks.cancel_scope.cancel()
        lost = [at for id, at in self._accepted.items() if id not in self._handled]
        return Round(
            len(self._accepted), len(lost), sum(count > 1 for count in self._handled.values()),
            len(self._accepted) / (struck - began), struck - min(lost) if lost else 0.0,
        )  # fmt: skip

    async def _send(self, messages: Messages, lane: int) -> None:
        number = 0
        while not self._over:
            ids = [f"{lane}.{number + each}" for each in range(BATCH)]
            number += BATCH
            try:
                results = await messages.send(*(Message.to(QUEUE, "bench.text", TEXT, id=id) for id in ids))
            except MessagesError:
                return  # In doubt: neither accepted nor lost.
            for result in results:
                if not result.error:
                    self._accepted[result.id] = time.monotonic()

    async def _handle(self, deliveries: Sequence[Delivery]) -> None:
        if not self._hurry:
            await anyio.sleep(0.1)
        self._handled.update(delivery.message.id for delivery in deliveries)

    async def _drain(self, running: Kernel) -> None:
        self._hurry = True
        messages = running.get(MESSAGES)
        with anyio.fail_after(60):
            while True:
                try:
                    stats = (await messages.stats(QUEUE))[QUEUE]
                except MessagesError:
                    continue
                if not (sum(stats.waiting.values()) + stats.delayed + stats.held):
                    return
                await anyio.sleep(0.1)


TEXT = Text("x" * 200)


def main() -> int:
    """Print the table, and the last line as JSON."""
    parser = argparse.ArgumentParser(prog="make bench-durability", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="blows for each line (default: 3)")
    parser.add_argument("--only", default="", help="lines that contain this, such as 'sentinel' or 'everysec'")
    chosen = parser.parse_args()
    logging.disable()  # A server that goes is what this is about.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(
        "| topology | persistence | `wait_replicas` | blows | accepted | lost | oldest loss | handled twice | sends/s |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    found = []
    for cell in CELLS:
        if chosen.only.lower() not in " ".join(map(str, cell)).lower():
            continue
        if cell.topology.startswith("one server, ") and "started" not in cell.topology and not shutil.which("cc"):
            print(f"| {cell.topology} | {cell.persistence} | needs a C compiler |", flush=True)
            continue
        rounds = [anyio.run(Play(cell, number).go) for number in range(chosen.rounds)]
        accepted, lost = sum(each.accepted for each in rounds), sum(each.lost for each in rounds)
        oldest = max(each.oldest for each in rounds)
        print(
            f"| {cell.topology} | {cell.persistence} | {cell.replicas} | {len(rounds)} | {accepted} | {lost} "
            f"| {f'{oldest * 1000:.0f} ms' if lost else '–'} | {sum(each.twice for each in rounds)} "
            f"| {sum(each.rate for each in rounds) / len(rounds):.0f} |",
            flush=True,
        )
        found.append({**cell._asdict(), "accepted": accepted, "lost": lost})
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
