from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .server import Server, serving


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving(Server()) as found:
        yield found
