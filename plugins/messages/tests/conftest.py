from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from trio.testing import MockClock

from tta_kernel import Event
from tta_messages import Messages, MessagesConfig
from tta_messages.memory import MemoryMessages
from tta_messages.prepare import Types
from tta_messages.testing import TYPES, Open

DEFAULT = MessagesConfig()


@asynccontextmanager
async def open_memory(
    config: MessagesConfig = DEFAULT,
    *,
    types: Types = TYPES,
    publish: Callable[[Event], None] = lambda event: None,
) -> AsyncIterator[Messages]:
    yield MemoryMessages(config, types, publish=publish)


@pytest.fixture
def messages() -> Open:
    return open_memory


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Run on both; a test may ask for "virtual": trio with a clock that leaps ahead when all tasks wait."""
    return ("trio", {"clock": MockClock(autojump_threshold=0.0)}) if request.param == "virtual" else request.param
