"""The limit: redis-py's own pipeline over a stream, acknowledged with the next read, nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import redis.asyncio
import redis.exceptions
from measure import BATCH, URL, Sink, produce, ready, run

sink = Sink()


async def produced() -> None:
    """Add to the stream."""
    client = redis.asyncio.Redis.from_url(URL)

    async def one(text: str) -> None:
        await client.xadd("bench", {"p": text})

    async def many(texts: Sequence[str]) -> None:
        pipeline = client.pipeline(transaction=False)
        for text in texts:
            pipeline.xadd("bench", {"p": text})
        await pipeline.execute()

    async def at_once(texts: Sequence[str]) -> None:
        await asyncio.gather(*(many(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)))  # noqa: TID251

    await produce(one, at_once, chunk=max(100, 4 * BATCH))


async def consumed() -> None:
    """Read, handle, acknowledge with the next read."""
    client = redis.asyncio.Redis.from_url(URL)
    with suppress(redis.exceptions.ResponseError):  # it is there already
        await client.xgroup_create("bench", "group", id="0", mkstream=True)
    ready()
    done: list[Any] = []
    while True:
        found: Any = None
        if done:
            pipeline = client.pipeline(transaction=False)
            pipeline.xack("bench", "group", *done)
            pipeline.xreadgroup("group", "one", {"bench": ">"}, count=BATCH)
            found = (await pipeline.execute())[1]
            done = []
        if not found:
            found = await client.xreadgroup("group", "one", {"bench": ">"}, count=BATCH, block=1000)
        for _, messages in found or ():
            for id, fields in messages:
                sink.take(fields[b"p"].decode())
                done.append(id)


run(produced, consumed)
