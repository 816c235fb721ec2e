"""One process of a chaos run: ``python -m chaos.worker SPEC`` sends, or consumes until SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import anyio
import msgspec

from tta_kernel import Kernel, KernelSettings, NoConfig, Plugin, PluginSettings, hookimpl
from tta_messages import MESSAGES, Delivery, Message, MessagesError, MessagesPlugin, Priority, consume
from tta_messages_redis import RedisMessagesPlugin
from tta_redis import RedisPlugin

from .history import HistoryWriter, RecordedMessages

QUEUE = "chaos"


class Task(msgspec.Struct, frozen=True):
    """What a message asks for: seconds of work, failures before it, or the death of the process that handles it."""

    work: float = 0.0
    failures: int = 0
    poisonous: bool = False


class WorkerSpec(msgspec.Struct, frozen=True):
    """What a process does; ``redis`` and ``messages`` are the configs of those plugins."""

    name: str
    role: str
    seed: int
    history: str
    redis: dict[str, Any]
    messages: dict[str, Any]
    start_delay: float = 0.0
    visibility: float = 1.0
    concurrency: int = 1
    count: int = 0
    duration: float = 1.0
    work: float = 0.01
    failure_rate: float = 0.0
    poisonous: int = 0


class Types(Plugin[NoConfig]):
    @hookimpl
    def message_types(self) -> Mapping[str, type[msgspec.Struct]]:
        return {"chaos.task": Task}


def kernel(redis: Mapping[str, Any], messages: Mapping[str, Mapping[str, Any]]) -> Kernel:
    """Return the kernel of each process here: messages on Redis, and nothing else; ``messages`` is by plugin."""
    plugins: Mapping[str, type[Plugin[Any]]] = {
        "redis": RedisPlugin, "messages": MessagesPlugin, "messages-redis": RedisMessagesPlugin, "chaos": Types
    }  # fmt: skip
    settings = {name: PluginSettings(config=dict(config)) for name, config in {"redis": redis, **messages}.items()}
    return Kernel(KernelSettings(plugins=settings), plugins=plugins)


async def produce(spec: WorkerSpec, messages: RecordedMessages) -> None:
    """Send all messages over about ``duration`` seconds; what was not accepted again, by its id, until it is."""
    async with anyio.create_task_group() as tasks:
        for lane in range(2):
            tasks.start_soon(_send_half, spec, messages, lane)


async def _send_half(spec: WorkerSpec, messages: RecordedMessages, lane: int) -> None:
    random = Random(f"{spec.seed} {spec.name} {lane}")
    sent, count = 0, spec.count // 2
    while sent < count:
        batch = []
        for _ in range(min(random.randint(1, 10), count - sent)):
            task = Task(
                work=random.uniform(0, 2 * spec.work),
                failures=random.choice((1, 2)) if random.random() < spec.failure_rate else 0,
                poisonous=lane == 0 and sent % 20 == 19 and sent < 20 * spec.poisonous,
            )
            # At first all are alike, which Redis's scripts treat in a way of its own.
            priority = Priority.NORMAL if sent < 0.6 * count else random.choice((*Priority,))
            batch.append(Message.to(QUEUE, "chaos.task", task, id=f"{spec.name}.{lane}.{sent}", priority=priority))
            sent += 1
        await _send_until_accepted(messages, batch)
        await anyio.sleep(random.uniform(0, 2) * spec.duration * 5 / count)


async def _send_until_accepted(messages: RecordedMessages, batch: list[Message]) -> None:
    while batch:
        try:
            results = await messages.send(*batch)
        except MessagesError:
            await anyio.sleep(0.05)
            continue
        batch = [each for each, result in zip(batch, results, strict=True) if result.error]
        if batch:
            await anyio.sleep(0.05)


async def consume_all(spec: WorkerSpec, history: HistoryWriter, messages: RecordedMessages) -> None:
    """Consume until cancelled."""

    async def handle(delivery: Delivery) -> None:
        history.handler_started(delivery)
        task = delivery.message.decode(Task)
        if task.poisonous:
            os.kill(os.getpid(), signal.SIGKILL)
        await anyio.sleep(task.work)
        if delivery.attempt <= task.failures:
            raise RuntimeError
        history.handler_returned(delivery)

    await consume(
        messages.as_messages, QUEUE, handle, limit=10, concurrency=spec.concurrency, visibility=spec.visibility,
        wait=1.0,
    )  # fmt: skip


async def main(spec: WorkerSpec) -> None:
    await anyio.sleep(spec.start_delay)
    async with kernel(spec.redis, spec.messages) as running, anyio.create_task_group() as tasks:
        history = HistoryWriter(Path(spec.history))
        messages = RecordedMessages(running.get(MESSAGES), history)
        tasks.start_soon(_cancel_on_sigterm, tasks.cancel_scope)
        if spec.role == "producer":
            await produce(spec, messages)
            tasks.cancel_scope.cancel()
        else:
            await consume_all(spec, history, messages)


async def _cancel_on_sigterm(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


if __name__ == "__main__":
    anyio.run(main, msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=WorkerSpec))
