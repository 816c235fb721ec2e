from __future__ import annotations

import pytest

from .deployment import Serve, serving


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def serve() -> Serve:
    return serving
