"""Messages on Redis in a kernel: checked by schema, audited, counted, each handled under its own time limit."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import msgspec
from measure import BATCH, URL, Sink, produce, ready, run

from tta_kernel import Kernel, KernelSettings, NoConfig, Plugin, PluginSettings, hookimpl
from tta_messages import MESSAGES, Delivery, Message, MessagesPlugin
from tta_messages.consume import consume, consume_batches
from tta_messages_redis import RedisMessagesPlugin
from tta_redis import RedisPlugin

CONSUMERS = int(os.environ.get("BENCH_CONSUMERS", "1"))
sink = Sink()


class Text(msgspec.Struct, frozen=True):
    """What is sent."""

    text: str


class Types(Plugin[NoConfig]):
    """Declares the benchmark's message."""

    @hookimpl
    def message_types(self) -> Mapping[str, type[msgspec.Struct]]:
        """Return the one type."""
        return {"bench.text": Text}


def kernel() -> Kernel:
    """Return a kernel with what moves messages, and nothing else."""
    plugins = {"redis": RedisPlugin, "messages": MessagesPlugin, "messages-redis": RedisMessagesPlugin, "types": Types}
    configs: dict[str, dict[str, Any]] = {
        "redis": {"url": URL},
        "messages": {"defaults": {"max_length": 1_000_000}},
        "messages-redis": {"batch": BATCH},
    }
    return Kernel(
        KernelSettings(plugins={name: PluginSettings(config=config) for name, config in configs.items()}),
        plugins=plugins,
    )


async def produced() -> None:
    """Send a hundred at a time, or four batches, each call with a batch, as the peers send a hundred at a time."""
    async with kernel() as running:
        messages = running.get(MESSAGES)

        async def many(texts: Sequence[str]) -> None:
            results = await messages.send(*(Message.to("bench", "bench.text", Text(text)) for text in texts))
            if not all(result.delivered for result in results):
                raise RuntimeError(f"not delivered: {results[0]}")

        async def one(text: str) -> None:
            await many([text])

        async def at_once(texts: Sequence[str]) -> None:
            await asyncio.gather(*(many(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)))  # noqa: TID251

        await produce(one, at_once, chunk=max(100, 4 * BATCH))


async def consumed() -> None:
    """Handle each, or a batch at once."""

    async def take(delivery: Delivery) -> None:
        sink.take(delivery.message.decode(Text).text)

    async def take_all(deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            sink.take(delivery.message.decode(Text).text)

    async with kernel() as running, anyio.create_task_group() as tasks:
        messages = running.get(MESSAGES)
        if os.environ["BENCH_HANDLER"] == "each":
            for _ in range(CONSUMERS):
                tasks.start_soon(lambda: consume(messages, "bench", take, limit=BATCH))
        else:
            tasks.start_soon(lambda: consume_batches(messages, "bench", take_all, limit=BATCH))
        ready()


run(produced, consumed)
