"""The outbox in memory keeps the contract."""

from __future__ import annotations

import pytest

from tta_notify import MemoryOutbox
from tta_notify.testing import HeldClock, OutboxContract, Passing

pytestmark = pytest.mark.anyio


class TestMemoryOutbox(OutboxContract):
    @pytest.fixture
    def outbox(self) -> MemoryOutbox:
        return MemoryOutbox(HeldClock())

    @pytest.fixture
    def small(self) -> MemoryOutbox:
        return MemoryOutbox(HeldClock(), most=2)

    @pytest.fixture
    def passing(self) -> Passing:
        clock = HeldClock()
        return MemoryOutbox(clock, retention=1.0), clock.sleep
