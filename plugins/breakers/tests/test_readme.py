from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tta_breakers import BreakerSettings
from tta_breakers.memory import MemoryBreakerStore
from tta_breakers.testing import breakers_on

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.mark.anyio
async def test_the_example_in_the_readme_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec", dont_inherit=True), names)
    forecast = names["forecast"]

    async def fails() -> str:
        raise ValueError

    async def denied() -> str:
        raise PermissionError

    async def rain() -> str:
        return "rain"

    async with breakers_on(MemoryBreakerStore(), BreakerSettings(failures=2, open=30, jitter=0)).running() as breakers:
        assert await forecast(breakers, rain) == "rain"
        for raised, call in ((PermissionError, denied), (ValueError, fails), (ValueError, fails)):
            with pytest.raises(raised):
                await forecast(breakers, call)
        assert await forecast(breakers, rain) == "nobody knows, ask again in 30 s"
