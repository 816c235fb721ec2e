from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tta_kernel import Event
from tta_messages import Messages, MessagesConfig
from tta_messages.prepare import Types
from tta_messages.testing import TYPES, MessagesContract, MessagesMachine, Open
from tta_messages_redis import Config, open_messages
from tta_redis import connect
from tta_redis.testing import RedisServer, redis_server

DEFAULT = MessagesConfig()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def open_redis(
    server: RedisServer,
    config: MessagesConfig = DEFAULT,
    *,
    types: Types = TYPES,
    publish: Callable[[Event], None] = lambda event: None,
) -> AsyncIterator[Messages]:
    own = Config(**{name: getattr(config, name) for name in config.__struct_fields__})
    async with connect(server.config()) as redis, open_messages(redis, own, types, publish=publish) as messages:
        yield messages


class TestRedisMessages(MessagesContract):
    @pytest.fixture
    def messages(self, shared_redis: RedisServer) -> Open:
        return partial(open_redis, shared_redis)


class TestMachine:
    """The reference, in memory, is the oracle."""

    @pytest.fixture(scope="class")
    def server(self) -> Iterator[RedisServer]:
        with redis_server() as server:
            yield server

    def test_it_answers_as_the_reference_does(self, server: RedisServer) -> None:
        from hypothesis.stateful import run_state_machine_as_test

        class RedisMachine(MessagesMachine):
            def open(self, config: MessagesConfig) -> AbstractAsyncContextManager[Messages]:
                return open_redis(server, config)

        run_state_machine_as_test(
            RedisMachine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
        )
