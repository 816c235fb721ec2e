from __future__ import annotations

import re
from pathlib import Path

import pytest

from tta_redis import Redis

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_the_example_in_the_readme_runs(redis: Redis) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    found: dict[str, object] = {}

    exec(compile(example, "README.md", "exec"), found)
    count, vote = found["count"], found["vote"]
    assert callable(count)
    assert callable(vote)
    assert [await count(redis, "u"), await count(redis, "u"), await vote(redis, "p")] == [1, 2, True]
