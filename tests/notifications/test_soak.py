"""A tenth of what ``make chaos`` plays: real channels that lie, a real Redis, and processes that are killed."""

from __future__ import annotations

import pytest

from .soak import soak


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_none_is_lost_and_none_is_acknowledged_by_a_machine() -> None:
    outcome = await soak(1000, seed=14, rate=60.0)
    assert outcome.wrong == []
    assert outcome.acknowledged > 50
    assert outcome.lied > 20
    assert outcome.killed == 6
