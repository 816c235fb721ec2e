from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import anyio
import pytest

from tta_agents.testing.processes import Processes


@pytest.fixture
async def processes() -> AsyncIterator[Processes]:
    with anyio.fail_after(20):
        async with AsyncExitStack() as stack:
            yield Processes(stack)
