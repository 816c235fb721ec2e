"""arq, tuned: with its defaults it polls twice a second, ten jobs at a time."""

from typing import Any

from arq.connections import RedisSettings, create_pool
from arq.worker import Worker, func
from measure import URL, Sink, produce, ready, run

sink = Sink()


async def handler(ctx: Any, text: str) -> None:
    """Take one message."""
    sink.take(text)


async def produced() -> None:
    """Enqueue each, a hundred at a time."""
    pool = await create_pool(RedisSettings.from_dsn(URL))
    await produce(lambda text: pool.enqueue_job("handler", text))


async def consumed() -> None:
    """Be a worker in this process."""
    worker = Worker(
        functions=[func(handler, name="handler")],
        redis_settings=RedisSettings.from_dsn(URL),
        handle_signals=False,
        max_jobs=200,
        poll_delay=0.01,
        queue_read_limit=1000,
        keep_result=0,
        log_results=False,
    )
    ready()
    await worker.async_run()


run(produced, consumed)
