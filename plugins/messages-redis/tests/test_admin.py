"""What an operator's calls leave in Redis."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from tta_messages import QueueSettings
from tta_messages.testing import note
from tta_messages_redis import RedisMessages
from tta_redis import connect
from tta_redis.testing import RedisServer

OpenRedis = Callable[..., AbstractAsyncContextManager[RedisMessages]]
SHORT = QueueSettings(ttl=1.0, dead_ttl=1.0)


async def test_shorter_settings_take_no_message_away(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    config = shared_redis.config()
    async with connect(config) as redis, open_on(config) as m:
        await m.send(note("a", ttl=5_000.0))
        await m.configure("q", SHORT)
        for part in ("queue", "body", "normal"):
            left = await redis.execute("PTTL", redis.key("messages", part, tag="q"))
            assert left > 4_000_000, part


async def test_an_empty_queue_ends_as_its_new_settings_say(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    config = shared_redis.config()
    async with connect(config) as redis, open_on(config) as m:
        await m.send(note("a"))
        (held,) = await m.receive("q")
        await m.ack(held)
        await m.configure("q", SHORT)
        for part in ("queue", "holds", "audit"):
            assert 0 < await redis.execute("PTTL", redis.key("messages", part, tag="q")) < 120_000, part
