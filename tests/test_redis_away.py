"""Redis goes away under a deployment: whoever asks over HTTP is told so at once, and by name."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
import yaml

from tta_access import KEYS, Key, digest_of, new_key
from tta_diagnostics import ADDRESSES
from tta_kernel import Kernel
from tta_program import load
from tta_redis.testing import RedisServer, redis_server

ADMIN = "9f8a1b6c5d4e3f2a7b0c8d9e1f2a3b4c"
PROMPT = 5.0
"""Seconds that are fewer than any of the limits which would end the waiting, on a slow machine, too."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server(own=True) as found:
        yield found


@pytest.fixture
async def kernel(server: RedisServer, root: Path, tmp_path: Path) -> AsyncIterator[Kernel]:
    config = tmp_path / "config"
    shutil.copytree(root / "config", config)
    keys = {"tester": {"key": ADMIN, "roles": ["admin"]}}
    plugins: dict[str, Any] = {
        "redis": {"config": server.section()},
        "access": {"config": {"keys": keys, "cache_ttl": 0.001}},
        "diagnostics": {"config": {"listeners": [{"port": 0}], "drain": 0}},
        "play": {"enabled": False},
        "notify": {"config": {"need_humans": False}},
    }
    (config / "production.yaml").write_text(
        yaml.safe_dump(merged(yaml.safe_load((config / "production.yaml").read_text()), plugins))
    )
    async with Kernel(load(config, "production", {}), installed=True) as found:
        yield found
        server.restart()


def merged(config: dict[str, Any], plugins: dict[str, Any]) -> dict[str, Any]:
    return config | {"plugins": {name: each | plugins.get(name, {}) for name, each in config["plugins"].items()}}


async def get(kernel: Kernel, path: str, key: str = ADMIN) -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession(kernel.get(ADDRESSES)[0]) as http,
        http.get(path, headers={"Authorization": f"Bearer {key}"}) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


@pytest.mark.parametrize("path", ["/messages", "/runs", "/runs/r-1", "/agents", "/sessions/s-1", "/audit"])
async def test_who_asks_for_what_is_in_it_is_told_that_it_is_away(
    kernel: Kernel, server: RedisServer, path: str
) -> None:
    assert (await get(kernel, path))[0] in (200, 404)
    server.stop()
    for _ in range(3):
        with anyio.fail_after(PROMPT):
            status, problem = await get(kernel, path)
        assert (status, problem["code"]) == (503, "unavailable")
        assert "Redis" in problem["detail"]
        assert "connection refused" in problem["detail"]
    server.start()
    with anyio.fail_after(PROMPT):
        assert (await get(kernel, path))[0] in (200, 404)
    server.stop()


async def test_a_key_that_is_in_it_proves_nothing_meanwhile_and_that_is_no_401(
    kernel: Kernel, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    id, key = new_key()
    await kernel.get(KEYS).add(Key(id=id, name="v", roles=("viewer",), digest=digest_of(key), created_at=1.0))
    assert (await get(kernel, "/plugins", key))[0] == 200
    server.stop()
    caplog.clear()
    for _ in range(20):
        with anyio.fail_after(PROMPT):
            status, problem = await get(kernel, "/plugins", key)
        assert (status, problem["code"]) == (503, "unavailable")
    told = [record for record in caplog.records if record.name.startswith("tta.access")]
    assert len(told) == 1
    assert "Redis" in told[0].getMessage()
    assert (await get(kernel, "/plugins"))[0] == 200
    server.start()
    assert (await get(kernel, "/plugins", key))[0] == 401  # It began anew, without keys.
    assert "answers again; 20 callers" in caplog.text
