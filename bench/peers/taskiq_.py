"""taskiq over a Redis stream, acknowledged when the task was executed."""

from measure import URL, Sink, produce, ready, run
from taskiq.acks import AcknowledgeType
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

sink = Sink()
broker = RedisStreamBroker(URL, consumer_id="0")


@broker.task(task_name="handler")
async def handler(text: str) -> None:
    """Take one message."""
    sink.take(text)


async def produced() -> None:
    """Kick each, a hundred at a time."""
    await broker.startup()
    await produce(handler.kiq)


async def consumed() -> None:
    """Be a worker in this process."""
    broker.is_worker_process = True
    await broker.startup()
    ready()
    await run_receiver_task(broker, max_async_tasks=100, max_prefetch=100, ack_time=AcknowledgeType.WHEN_EXECUTED)


run(produced, consumed)
