from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tta_messages_redis import RedisMessages
from tta_redis import Redis, connect
from tta_redis.testing import RedisServer

from .queue import OpenRedis


@pytest.fixture
async def both(shared_redis: RedisServer, open_on: OpenRedis) -> AsyncIterator[tuple[Redis, RedisMessages]]:
    """Give the client, and messages on the same server."""
    where = shared_redis.config()
    async with connect(where) as redis, open_on(where) as messages:
        yield redis, messages
