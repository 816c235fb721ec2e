from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Nothing here depends on the event loop, so one will do."""
    return "asyncio"
