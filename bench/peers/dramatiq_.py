"""dramatiq, eight threads."""

import anyio.to_thread
import dramatiq
from dramatiq.brokers.redis import RedisBroker
from measure import URL, Sink, produce, ready, run

sink = Sink()
broker = RedisBroker(url=URL)
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="bench")
def handler(text: str) -> None:
    """Take one message."""
    sink.take(text)


async def produced() -> None:
    """Send each; its client is synchronous."""

    async def one(text: str) -> None:
        handler.send(text)

    await produce(one)


async def consumed() -> None:
    """Be a worker in this process."""
    worker = dramatiq.Worker(broker, worker_threads=8, worker_timeout=1000)
    worker.start()
    ready()
    await anyio.to_thread.run_sync(worker.join)
    await anyio.sleep_forever()


run(produced, consumed)
