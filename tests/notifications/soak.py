"""A soak: notifications through channels that lie, while processes and Redis are killed; and what was left."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread
import msgspec

from tta_kernel import Kernel
from tta_notify import NOTIFY, Entry, Notification, Notifier, OutboxError, UnknownNotification, key_of
from tta_redis.testing import RedisServer, redis_server

from .receivers import LIMIT, Receiver
from .worker import Spec, kernel, spec

_PYTHONPATH = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]))
_DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


class Outcome(msgspec.Struct, frozen=True):
    """What a soak left. ``wrong`` is empty if it held; ``repeated``: sends of one message beyond its first."""

    wrong: Sequence[str]
    notifications: int
    statuses: dict[str, int]
    acknowledged: int
    lied: int
    repeated: int
    killed: int
    seconds: float


async def soak(count: int, seed: int, *, faults: float = 0.15, rate: float = 100.0, kills: int = 6) -> Outcome:
    """Hand ``count`` notifications over, at about ``rate`` a second, and judge what became of them."""
    with redis_server(*_DURABLE, own=True) as server:
        return await _Soak(count, seed, server, faults, rate, kills).go()


class _Soak:
    def __init__(self, count: int, seed: int, server: RedisServer, faults: float, rate: float, kills: int) -> None:
        self._count, self._seed, self._server, self._rate, self._kills = count, seed, server, rate, kills
        self._random = Random(seed)
        self._mail = Receiver(f"{seed} mail", faults, self._arrived)
        self._pager = Receiver(f"{seed} pager", faults, self._arrived)
        self._ids = [f"soak-{seed}-{number}" for number in range(count)]
        # A human acknowledges each tenth of what reaches them.
        self._seen_by_human = {key_of(id) for id in self._ids[::10]}
        self._to_acknowledge, self._arrivals = anyio.create_memory_object_stream[str](count * 100)
        self._asked: set[str] = set()
        self._faults: list[float] = []
        self._workers: list[anyio.abc.Process] = []
        self._stopping = False

    async def go(self) -> Outcome:
        began = time.monotonic()
        config = msgspec.structs.replace(self._server.config(), socket_timeout=1.0, connect_timeout=1.0)
        redis = {name: getattr(config, name) for name in ("url", "prefix", "socket_timeout", "connect_timeout")}
        async with AsyncExitStack() as stack:
            stack.enter_context(self._to_acknowledge)
            stack.enter_context(self._arrivals)
            hook = await stack.enter_async_context(self._pager.http())
            mail = await stack.enter_async_context(self._mail.smtp())
            made = spec(redis, hook, mail)
            running = await stack.enter_async_context(kernel(made, without="notify-local"))
            tasks = await stack.enter_async_context(anyio.create_task_group())
            for _ in range(2):
                tasks.start_soon(self._supervise, made)
            tasks.start_soon(self._human, running.get(NOTIFY))
            async with anyio.create_task_group() as work:
                work.start_soon(self._hand_over, running)
                work.start_soon(self._kill)
            entries = await self._settled(running)
            self._stopping = True
            for each in self._workers:
                if each.returncode is None:
                    each.kill()
            tasks.cancel_scope.cancel()
        return self._judge(entries, time.monotonic() - began)

    def _arrived(self, key: str) -> None:
        if key in self._seen_by_human and key not in self._asked:
            self._asked.add(key)
            self._to_acknowledge.send_nowait(key)

    async def _human(self, notifier: Notifier) -> None:
        async for key in self._arrivals:
            while True:
                try:
                    await notifier.acknowledge(key, "anna", "callback")
                    break
                except (OutboxError, UnknownNotification):
                    await anyio.sleep(0.1)

    async def _supervise(self, made: Spec) -> None:
        command = [sys.executable, "-m", "notifications.worker", msgspec.json.encode(made).decode()]
        environment = {**os.environ, "PYTHONPATH": _PYTHONPATH}
        while not self._stopping:
            process = await anyio.open_process(command, stdout=None, stderr=None, env=environment)
            self._workers.append(process)
            try:
                await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                with anyio.CancelScope(shield=True):
                    await process.aclose()
            # It gives up where Redis is away while it starts; then it is started again, as whoever runs it would.
            await anyio.sleep(0.1)

    async def _hand_over(self, running: Kernel) -> None:
        notifier = running.get(NOTIFY)
        for number, id in enumerate(self._ids):
            severity: Any = "critical" if number % 5 == 0 else "high"
            await notifier.notify(Notification(id=id, topic="soak", severity=severity, subject="a person needs you"))
            await anyio.sleep(self._random.uniform(0, 2) / self._rate)

    async def _kill(self) -> None:
        for number in range(self._kills):
            await anyio.sleep(self._count / self._rate / self._kills)
            self._faults.append(time.time())
            if number % 3 == 1:
                self._server.kill()
                await anyio.sleep(self._random.uniform(0.2, 1.5))
                await anyio.to_thread.run_sync(self._server.start)
            else:
                alive = [each for each in self._workers if each.returncode is None]
                if alive:
                    self._random.choice(alive).kill()

    async def _settled(self, running: Kernel) -> Sequence[Entry]:
        """Return all entries when nothing is left to be done, or as they are after a long time."""
        notifier = running.get(NOTIFY)
        entries: Sequence[Entry] = ()
        with anyio.move_on_after(60 + self._count / 10):
            while True:
                try:
                    # Alarms about the channels are beside the point.
                    entries = [each for each in await _all(notifier) if each.notification.topic == "soak"]
                except OutboxError:
                    entries = ()
                done = [each for each in entries if each.wake is None]
                humans = [each for each in entries if each.acknowledgement is not None]
                if len(done) == self._count and len(humans) == len(self._asked) and not len(notifier.lane):
                    break
                # To look at all of them takes time from those who send.
                await anyio.sleep(max(0.2, self._count / 2000))
        return entries

    def _judge(self, entries: Sequence[Entry], seconds: float) -> Outcome:
        wrong = []
        receivers = {"mail": self._mail, "pager": self._pager}
        found = {each.key: each for each in entries}
        lied = repeated = 0
        for id in self._ids:
            entry = found.get(key_of(id))
            if entry is None:
                wrong.append(f"{id}: the outbox has lost it")
                continue
            if entry.wake is not None:
                wrong.append(f"{id}: nobody has done with it: {entry.status}, {entry.deliveries}")
            if (entry.acknowledgement is not None) != (entry.key in self._asked):
                wrong.append(f"{id}: {entry.acknowledgement} where the human said {entry.key in self._asked}")
            if len({(each.channel, each.person) for each in entry.deliveries}) != len(entry.deliveries):
                wrong.append(f"{id}: somebody was told under two ids")
            # Who acknowledges at once needs no further message.
            if entry.acknowledgement is None and {each.status for each in entry.deliveries} != {"accepted"}:
                wrong.append(f"{id}: it was not accepted by all: {entry.deliveries}")
            for each in entry.deliveries:
                receiver = receivers[each.channel]
                taken = receiver.taken[each.id]
                if each.status == "accepted" and not taken and each.id not in receiver.dropped:
                    wrong.append(f"{id}: {each.channel} is said to have accepted what it never got")
                lied += sum(not it.truly for it in taken)
                repeated += max(0, len(taken) - 1)
                for before, after in pairwise(taken):
                    # Between two sends of what was truly accepted somebody was killed before it could be kept; or the
                    # machine was so busy that the answer came after its time.
                    was_killed = any(before.at - LIMIT <= at <= after.at for at in self._faults)
                    if before.truly and not was_killed and after.at - before.at < LIMIT:
                        wrong.append(f"{id}: {each.channel} got twice what it had accepted")
        statuses = Counter(str(each.status) for each in entries)
        return Outcome(
            wrong, len(self._ids), dict(statuses), len(self._asked), lied, repeated, len(self._faults), seconds
        )  # fmt: skip


async def _all(notifier: Notifier) -> Sequence[Entry]:
    found: list[Entry] = []
    cursor = ""
    while True:
        page = await notifier.page(cursor, 500)
        found += page.entries
        cursor = page.cursor
        if not cursor:
            return found
