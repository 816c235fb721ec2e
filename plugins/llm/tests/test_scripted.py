"""The model that follows a script keeps the contract of backends, so that what is tested with it holds for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tta_llm import Models
from tta_llm.testing import ModelsContract, Says, ScriptedModels
from tta_llm.testing.models import Open


class TestScripted(ModelsContract):
    @pytest.fixture
    def opened(self) -> Open:
        @asynccontextmanager
        async def opened(*script: Says) -> AsyncIterator[Models]:
            yield ScriptedModels(*script)

        return opened
