from __future__ import annotations

import pytest

from tta_redis.testing import redis, shared_redis  # noqa: F401  # fixtures


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
