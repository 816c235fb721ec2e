"""The example in the README brings a tool that can be called."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tta_tools import TOOLS
from tta_tools.testing import deployment

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_the_example_in_the_readme_brings_a_tool() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    given: dict[str, Any] = {"__name__": "shouting"}
    exec(compile(example, "README.md", "exec"), given)
    async with deployment(more={"shouting": given["Shouting"]}) as kernel:
        done = await kernel.get(TOOLS).run("text.shout", {"text": "hello", "marks": 2})
    assert done.value == "HELLO!!"
