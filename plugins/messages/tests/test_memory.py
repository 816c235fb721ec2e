from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from hypothesis import settings

from tta_kernel import Event
from tta_messages import Messages, MessagesConfig
from tta_messages.memory import MemoryMessages
from tta_messages.prepare import Types
from tta_messages.testing import TYPES, MessagesContract, MessagesMachine, Open

DEFAULT = MessagesConfig()


@asynccontextmanager
async def open_memory(
    config: MessagesConfig = DEFAULT,
    *,
    types: Types = TYPES,
    publish: Callable[[Event], None] = lambda event: None,
) -> AsyncIterator[Messages]:
    yield MemoryMessages(config, types, publish=publish)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestMemoryMessages(MessagesContract):
    @pytest.fixture
    def messages(self) -> Open:
        return open_memory


class MemoryMachine(MessagesMachine):
    """Without a second implementation at hand this proves that the machine runs, and that the rules hold together."""

    def open(self, config: MessagesConfig) -> AbstractAsyncContextManager[Messages]:
        return open_memory(config)


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
