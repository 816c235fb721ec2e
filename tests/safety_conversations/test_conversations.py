"""All conversations with the real system: nothing is red."""

from __future__ import annotations

from pathlib import Path

import pytest

from .rubric import table
from .script import scripts
from .stage import converse_all, reds


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_no_conversation_has_a_red_item(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Everywhere the same: without the deep head, which may have been built on one machine and not on another.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    judged = await converse_all(scripts())
    with capsys.disabled():
        print(f"\n{table(judged)}")
    assert reds(judged) == {}
