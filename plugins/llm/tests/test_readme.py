"""The example in the README tells a story."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tta_llm.testing import scripted

README = Path(__file__).resolve().parents[1] / "README.md"


async def test_the_example_in_the_readme_tells_a_story(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    given: dict[str, Any] = {"__name__": "telling"}
    exec(compile(example, "README.md", "exec"), given)
    assert await given["tell"](scripted("The sea is calm."), "a shore", "s", "ann") == "The sea is calm."
    assert capsys.readouterr().out == "The sea is calm."
