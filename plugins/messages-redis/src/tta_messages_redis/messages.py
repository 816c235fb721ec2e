"""The messages of many processes, in Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup

from tta_kernel import Event
from tta_messages import MessagesConfig
from tta_messages.prepare import Types
from tta_redis import Redis

from .admin import Admin
from .bell import Bell
from .config import Config
from .receiving import Receiving
from .sending import Sending
from .subscriptions import Subscriptions


class RedisMessages(Sending, Receiving, Admin):
    """`open_messages` makes one; it lives within that context."""

    def __init__(
        self,
        redis: Redis,
        settings: MessagesConfig,
        types: Types,
        config: Config,
        *,
        publish: Callable[[Event], None],
        tasks: TaskGroup,
    ) -> None:
        super().__init__(redis, settings, types, config, publish=publish, tasks=tasks)
        self._bell = Bell(redis, self._store.channel, self._unheard)
        self._subscriptions = Subscriptions(self._store, redis.prefix)


@asynccontextmanager
async def open_messages(
    redis: Redis,
    settings: MessagesConfig,
    types: Types,
    config: Config | None = None,
    *,
    publish: Callable[[Event], None] = lambda event: None,
) -> AsyncIterator[RedisMessages]:
    """Offer the messages of a Redis; leaving waits a moment for what goes on behind the calls."""
    error: Exception | None = None
    async with anyio.create_task_group() as tasks:
        messages = RedisMessages(redis, settings, types, config or Config(), publish=publish, tasks=tasks)
        tasks.start_soon(messages.hear, name="messages: hearing")
        tasks.start_soon(messages.run_errands, name="messages: errands")
        try:
            yield messages
        except Exception as exc:  # noqa: BLE001  # raised below, not within a group
            error = exc
        finally:
            with anyio.move_on_after(2.0, shield=True):
                await messages.settled()
            messages.close()
            tasks.cancel_scope.cancel()
    if error is not None:
        raise error
