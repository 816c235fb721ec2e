"""saq, ten jobs at a time."""

from typing import Any

from measure import URL, Sink, produce, ready, run
from saq import Queue, Worker

sink = Sink()
queue = Queue.from_url(URL)


async def handler(ctx: Any, *, text: str) -> None:
    """Take one message."""
    sink.take(text)


async def produced() -> None:
    """Enqueue each, a hundred at a time; results are not kept."""
    await queue.connect()
    await produce(lambda text: queue.enqueue("handler", text=text, ttl=-1))


async def consumed() -> None:
    """Be a worker in this process."""
    worker = Worker(queue, functions=[handler], concurrency=10)
    ready()
    await worker.start()


run(produced, consumed)
