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


OpenRedis = Callable[..., AbstractAsyncContextManager[RedisMessages]]


@pytest.fixture
def open_on() -> OpenRedis:
    """Open messages on a server: of any config of the capability, or of ours."""

    @asynccontextmanager
    async def open_on(
        where: RedisConfig,
        config: MessagesConfig | None = None,
        *,
        types: Types = TYPES,
        publish: Callable[[Event], None] = lambda event: None,
    ) -> AsyncIterator[RedisMessages]:
        if not isinstance(config, Config):
            given = config or MessagesConfig()
            config = Config(given.defaults, given.queues, given.max_size)
        async with connect(where) as client, open_messages(client, config, types, publish=publish) as messages:
            yield messages

    return open_on
