from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tta_kernel import Event
from tta_messages import Messages, MessagesConfig
from tta_messages.prepare import Types
from tta_messages.testing import TYPES, MessagesContract, MessagesMachine, Open
from tta_messages_redis import Config, open_messages
from tta_redis import connect
from tta_redis.testing import RedisServer

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


def test_it_answers_as_the_reference_does_whatever_it_is_asked(shared_redis: RedisServer) -> None:
    class RedisMachine(MessagesMachine):
        def open(self, config: MessagesConfig) -> AbstractAsyncContextManager[Messages]:
            return open_redis(shared_redis, config)

    run_state_machine_as_test(
        RedisMachine,
        settings=settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[*HealthCheck]),
    )
