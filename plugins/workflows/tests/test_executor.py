"""Runs over the journal in memory keep the contract."""

from __future__ import annotations

import time

import pytest

from tta_workflows.memory import MemoryJournal
from tta_workflows.testing import EntranceContract, WorkflowsContract


class TestOnMemory(WorkflowsContract):
    @pytest.fixture
    def journal(self) -> MemoryJournal:
        return MemoryJournal(time.time)


class TestTheEntranceOnMemory(EntranceContract):
    @pytest.fixture
    def journal(self) -> MemoryJournal:
        return MemoryJournal(time.time)
