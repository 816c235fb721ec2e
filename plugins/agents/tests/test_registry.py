from __future__ import annotations

import pytest

from tta_agents.memory import MemoryRegistry
from tta_agents.testing import AgentRegistryContract


class TestMemoryRegistry(AgentRegistryContract):
    @pytest.fixture
    def registry(self) -> MemoryRegistry:
        return MemoryRegistry()
