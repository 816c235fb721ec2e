"""Whoever embeds the kernel may run on uvloop, whose transports aren't asyncio's own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tta_kernel import Kernel
from tta_orchestration import ORCHESTRATION
from tta_program import load
from tta_redis.testing import redis_server

MEMORY = ("agents-memory", "messages-memory", "sessions-memory")
REDIS = ("redis", "agents-redis", "messages-redis", "sessions-redis")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


async def test_a_story_on_redis_is_told_on_uvloop(root: Path, tmp_path: Path, playable: dict[str, Any]) -> None:
    shutil.copy(root / "config" / "base.yaml", tmp_path)
    shutil.copytree(root / "config" / "workflows", tmp_path / "workflows")
    with redis_server() as server:
        plugins = {
            **{name: {"enabled": False} for name in MEMORY}, **{name: {"enabled": True} for name in REDIS},
            "redis": {"enabled": True, "config": server.section()},
            "agents": {"config": {"auto_register": True}},
            **playable,
        }  # fmt: skip
        settings = {"kernel": {"autoload": True}, "plugins": plugins}
        (tmp_path / "test.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        async with Kernel(load(tmp_path, "test", {})) as kernel:
            story = kernel.get(ORCHESTRATION)
            first = await story.process_user_input("look", session="s")
            second = await story.process_user_input("go to the harbour", session="s")
    assert (first.failure, second.failure) == (None, None)
    assert "harbour" in second.text.lower()
