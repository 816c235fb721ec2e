from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from tta_kernel import Event
from tta_messages import MessagesConfig
from tta_messages.prepare import Types
from tta_messages.testing import TYPES
from tta_messages_redis import Config, RedisMessages, open_messages
from tta_redis import Config as RedisConfig
from tta_redis import connect
from tta_redis.testing import shared_redis  # noqa: F401  # a fixture


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


DEFAULT = MessagesConfig()
OpenRedis = Callable[..., AbstractAsyncContextManager[RedisMessages]]


@pytest.fixture
def open_on() -> OpenRedis:
    """Open messages on a server: with settings of queues, of the backend, or both."""

    @asynccontextmanager
    async def open_on(
        where: RedisConfig,
        settings: MessagesConfig = DEFAULT,
        *,
        config: Config | None = None,
        types: Types = TYPES,
        publish: Callable[[Event], None] = lambda event: None,
    ) -> AsyncIterator[RedisMessages]:
        async with (
            connect(where) as client,
            open_messages(client, settings, types, config, publish=publish) as messages,
        ):
            yield messages

    return open_on
