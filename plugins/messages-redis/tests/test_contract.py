from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tta_kernel.testing import Shared
from tta_messages import Messages, MessagesConfig
from tta_messages.testing import TYPES, MessagesContract, MessagesMachine, Open
from tta_messages_redis import RedisMessages, open_messages
from tta_redis import Config as RedisConfig
from tta_redis import connect
from tta_redis.testing import RedisServer

OpenRedis = Callable[..., AbstractAsyncContextManager[RedisMessages]]
DEFAULT = MessagesConfig()


class TestRedisMessages(MessagesContract):
    @pytest.fixture
    def messages(self, shared_redis: RedisServer, open_on: OpenRedis) -> Open:
        def open_redis(config: MessagesConfig = DEFAULT, **how: Any) -> AbstractAsyncContextManager[Messages]:
            return open_on(shared_redis.config(), config, **how)

        return open_redis

    @pytest.fixture
    def shared(self, shared_redis: RedisServer) -> Shared[Messages]:
        return Shared(open_shared, (msgspec.to_builtins(shared_redis.config()),))


@asynccontextmanager
async def open_shared(where: dict[str, Any]) -> AsyncIterator[Messages]:
    config = msgspec.convert(where, RedisConfig)
    async with connect(config) as redis, open_messages(redis, DEFAULT, TYPES) as messages:
        yield messages


@pytest.mark.timeout(240)  # two thousand steps, each of several round trips
def test_it_answers_as_the_reference_does_whatever_it_is_asked(shared_redis: RedisServer, open_on: OpenRedis) -> None:
    class RedisMachine(MessagesMachine):
        def open(self, config: MessagesConfig) -> AbstractAsyncContextManager[Messages]:
            return open_on(shared_redis.config(), config)

    run_state_machine_as_test(
        RedisMachine,
        settings=settings(max_examples=60, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow]),
    )
