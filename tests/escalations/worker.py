"""A process that opens interventions and tells humans, until it is killed: ``argv[1]`` is its `Spec` as JSON.

It says ``opened NUMBER`` once an intervention would outlive it: until then its turn would not be kept either, and come
again. With nothing to open it works on what others have left, until all is told, and says ``settled``.
"""

from __future__ import annotations

import random
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec

from tta_agents import AgentsPlugin
from tta_agents_redis import AgentsRedis
from tta_crisis import CRISIS, CrisisError, CrisisPlugin
from tta_crisis.testing import disclosure, finding
from tta_crisis_redis import CrisisRedis
from tta_kernel import Context, Kernel, NoConfig, Plugin, hookimpl
from tta_kernel.testing import running
from tta_notify import NOTIFY, Accepted, Channel, ChannelError, Message, NotifyLocal, NotifyPlugin, OutboxError
from tta_notify_redis import NotifyRedis
from tta_redis import REDIS, Config, Redis, RedisPlugin
from tta_sessions import SessionsPlugin
from tta_sessions_redis import SessionsRedis
from tta_workflows import WORKFLOWS, WorkflowsLocal, WorkflowsPlugin, WorkflowsUnavailable
from tta_workflows_redis import WorkflowsRedis

AT_ONCE = 16
RECEIVED, LIED = "received", "lied"


class Spec(msgspec.Struct, frozen=True):
    """``numbers`` are to be opened; a channel fails, hangs or lies as ``seed`` has it, each with ``faults`` / 3.

    ``patience``: how long a short protocol waits until others are told; without it, it is the one of the package.
    """

    redis: Config
    seed: int
    numbers: tuple[int, ...] = ()
    faults: float = 0.0
    all: int = 0
    patience: str = ""


class Flaky(Channel):
    """A pager whose receiver is a list in Redis; it fails, hangs, or says that it failed after it has taken it."""

    name = "pager"
    personal = False

    def __init__(self, faults: float, seed: int) -> None:
        self.redis: Redis | None = None
        self._faults, self._random = faults, random.Random(seed)

    async def send(self, message: Message) -> Accepted:
        chance = self._random.random()
        if self.redis is None or chance < self._faults / 3:
            raise ChannelError("busy")
        if chance < 2 * self._faults / 3:
            await anyio.sleep_forever()
        lies = chance < self._faults
        key = self.redis.key(RECEIVED)
        if lies:
            # It says so first: whatever comes after it may be a duplicate.
            await self.redis.execute("SADD", self.redis.key(LIED), message.id)
        await self.redis.execute("RPUSH", key, message.id)
        if lies:
            raise ChannelError("lied")
        return Accepted("ok")


def pager(spec: Spec) -> type[Plugin[NoConfig]]:
    channel = Flaky(spec.faults, spec.seed)

    class Pager(Plugin[NoConfig]):
        requires = (REDIS,)

        @hookimpl
        def notification_channels(self) -> Sequence[Channel]:
            return [channel]

        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            channel.redis = ctx.get(REDIS)
            yield

    return Pager


def kernel(spec: Spec) -> Kernel:
    """Make what runs in the process."""
    plugins: Mapping[str, type[Plugin[Any]]] = {
        "redis": RedisPlugin, "agents": AgentsPlugin, "agents-redis": AgentsRedis, "sessions": SessionsPlugin,
        "sessions-redis": SessionsRedis, "workflows": WorkflowsPlugin, "workflows-local": WorkflowsLocal,
        "workflows-redis": WorkflowsRedis, "notify": NotifyPlugin, "notify-local": NotifyLocal,
        "notify-redis": NotifyRedis, "crisis": CrisisPlugin, "crisis-redis": CrisisRedis, "pager": pager(spec),
    }  # fmt: skip
    configs: Mapping[str, Mapping[str, Any]] = {
        "redis": msgspec.to_builtins(spec.redis),
        "workflows-local": {"lease": "2s", "pools": {"crisis": {"limit": 32, "reserved": True}}},
        "notify": {
            "need_humans": False, "limit": "500ms", "retry": "100ms", "longest_retry": "500ms", "tries": 1000,
            "pause": "200ms", "severities": {level: {"channels": ["pager"]} for level in ("low", "moderate", "high")},
        },
        "notify-local": {"lease": "2s", "poll": "200ms", "at_once": AT_ONCE},
        "crisis": {"pool": "crisis", "sweep": "2s"},
        "workflows": {"workflows": {"crisis-high": short(spec.patience)}} if spec.patience else {},
    }  # fmt: skip
    return running(plugins, configs=configs)


def short(patience: str) -> Mapping[str, Any]:
    """Return a protocol that tells, waits, and tells others."""
    given = {name: f"input.{name}" for name in ("intervention", "kind", "level", "session", "turn")}
    return {
        "on_failure": "keep",
        "steps": [
            {"id": "told", "agent": "crisis-notify", "input": given},
            {"id": "patience", "wait": patience},
            {"id": "escalated", "agent": "crisis-escalate", "input": given},
        ],
    }


def id_of(number: int) -> str:
    """Return the id of the intervention of that number."""
    return f"r{number}.player.suicide"


async def main(spec: Spec) -> None:
    async with kernel(spec) as found:
        if spec.numbers:
            await open_all(found, spec)
        else:
            await settle(found, spec)
        print("settled", flush=True)


async def open_all(found: Kernel, spec: Spec) -> None:
    """Open what is to be opened, some at a time."""
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def open_one(number: int) -> None:
        async with limiter:
            told = disclosure(f"r{number}", finding(severity=4), session=f"s{number}", user=f"u{number % 50}", turns=())
            [opened] = await found.get(CRISIS).open(told)
            while not opened.version:
                await anyio.sleep(0.05)
                opened = await stored(found, opened.id) or opened
            print(f"opened {number}", flush=True)

    async with anyio.create_task_group() as tasks:
        for number in spec.numbers:
            tasks.start_soon(open_one, number)


async def stored(found: Kernel, id: str) -> Any:
    try:
        return await found.get(CRISIS).get(id)
    except CrisisError:
        return None


async def settle(found: Kernel, spec: Spec) -> None:
    """Return once each of all interventions has told somebody, and its protocol has begun."""
    # One after the other: to look at all of them again and again would take the time of those who tell.
    for number in range(spec.all):
        while not await is_settled(found, id_of(number)):  # noqa: ASYNC110 - other processes settle it, too
            await anyio.sleep(0.1)
        if (number + 1) % 250 == 0:
            print(f"told {number + 1}", flush=True)


async def is_settled(found: Kernel, id: str) -> bool:
    try:
        entry = await found.get(NOTIFY).get(f"crisis.{id}")
        run = await found.get(WORKFLOWS).query(f"crisis:{id}")
    except (OutboxError, WorkflowsUnavailable):
        return False
    told = run is not None and any(step.id == "told" and step.status == "done" for step in run.steps)
    return told and entry is not None and entry.status == "accepted"


if __name__ == "__main__":
    anyio.run(main, msgspec.json.decode(sys.argv[1], type=Spec))
