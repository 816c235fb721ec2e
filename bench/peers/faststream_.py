"""FastStream over a Redis stream; with a batch, its batch handler, which acknowledges a batch at once."""

import asyncio

from faststream.redis import RedisBroker, StreamSub
from measure import BATCH, URL, Sink, produce, ready, run

sink = Sink()
broker = RedisBroker(URL, logger=None)


async def produced() -> None:
    """Publish each, a hundred at a time."""
    await broker.connect()
    await produce(lambda text: broker.publish(text, stream="bench"))


async def consumed() -> None:
    """Subscribe as one member of a group."""
    common = {"group": "group", "consumer": "one", "polling_interval": 100}
    if BATCH > 1:

        @broker.subscriber(stream=StreamSub("bench", max_records=BATCH, batch=True, **common))
        async def take_all(texts: list[str]) -> None:
            for text in texts:
                sink.take(text)
    else:

        @broker.subscriber(stream=StreamSub("bench", max_records=100, **common))
        async def take(text: str) -> None:
            sink.take(text)

    async with broker:
        await broker.start()
        ready()
        await asyncio.sleep(3600)  # noqa: TID251


run(produced, consumed)
