"""Tools in several processes on one Redis: what is made once, and what a process leaves that is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from tta_redis import Redis, connect
from tta_redis.testing import RedisServer, redis_server
from tta_tools_redis import RedisToolStore
from tta_tools_redis.layout import RegistryKeys

PATIENCE = 60.0
# What a process does is its first argument: `build` a tool, `register` many, or `call` one under a key.
PROCESS = '''
import os, sys
from pathlib import Path

import anyio

from tta_kernel.testing import running
from tta_redis import RedisPlugin
from tta_tools import TOOLS, Tool, ToolError, ToolsPlugin
from tta_tools.testing import FakePolicy
from tta_tool_policy import POLICY, Decision
from tta_tools_redis import ToolsRedis

WHAT, FOLDER, URL = sys.argv[1], Path(sys.argv[2]), sys.argv[3]


async def until(name):
    while not (FOLDER / name).exists():
        await anyio.sleep(0.01)


async def roll(number: int = 0) -> int:
    """Roll."""
    (FOLDER / f"called-{os.getpid()}").touch()
    await until("go")
    return number


def made(name, **more):
    return Tool.of(roll, name=name, version="1.0.0", **more)


async def build():
    (FOLDER / f"built-{os.getpid()}").touch()
    await until("go")
    return made("made.once")


async def create(tools):
    spec = await tools.create_or_get("a signature", build)
    print(spec.id, flush=True)


async def main():
    allowed = FakePolicy(lambda call: Decision(effect="allow", rule="r", reason="because", policy="0f"))
    config = {"build_lease": "2s", "build_wait": "50s", "timeout": "4s"}
    kernel = running(
        {"redis": RedisPlugin, "tools": ToolsPlugin, "tools-redis": ToolsRedis},
        configs={"redis": {"url": URL}, "tools": config}, services={POLICY: allowed},
    )
    async with kernel:
        tools = kernel.get(TOOLS)
        print("ready", flush=True)
        await until("start")
        if WHAT == "build":
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(create, tools)
        elif WHAT == "register":
            for number in range(10_000):
                await tools.register(made(f"many.t{number}"))
                if not number:
                    print("began", flush=True)
        else:
            await tools.register(made("call.once", idempotent=WHAT == "again"))
            said = "busy"
            while said == "busy":  # Somebody has the key still.
                await anyio.sleep(0.1)
                try:
                    said = (await tools.run("call.once", {"number": 6}, key="k", owner="anna")).value
                except ToolError as exc:
                    said = exc.code
            print(said, flush=True)


anyio.run(main)
'''


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server(own=True) as found:
        yield found


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    async with connect(server.config(prefix="tta")) as client:
        yield client


@contextmanager
def processes(number: int, what: str, folder: Path, server: RedisServer) -> Iterator[list[subprocess.Popen[str]]]:
    """Start so many, and wait until each is ready; they begin when ``start`` is there."""
    script = folder / "process.py"
    script.write_text(PROCESS)
    command = [sys.executable, str(script), what, str(folder), server.url]
    # Bounded also where a test's own time limit can't reach: a read that never ends.
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(number)]
    try:
        for each in started:
            assert line(each) == "ready"
        yield started
    finally:
        for each in started:
            each.kill()
            each.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def lines(process: subprocess.Popen[str]) -> list[str]:
    return process.communicate(timeout=PATIENCE)[0].split()


def who(folder: Path, what: str) -> list[int]:
    """Return which processes have said by a file that they did something."""
    return [int(path.name.rpartition("-")[2]) for path in folder.glob(f"{what}-*")]


async def first(folder: Path, what: str) -> int:
    """Wait until a process has done something, and return its id."""
    with anyio.fail_after(PATIENCE):
        while not (found := who(folder, what)):  # noqa: ASYNC110 - a process tells it by a file
            await anyio.sleep(0.01)
    return found[0]


async def test_four_processes_build_a_tool_once(tmp_path: Path, server: RedisServer) -> None:
    with processes(4, "build", tmp_path, server) as started:
        (tmp_path / "start").touch()
        await first(tmp_path, "built")
        (tmp_path / "go").touch()
        assert [lines(each) for each in started] == [["made.once:1.0.0"] * 5] * 4
    assert len(who(tmp_path, "built")) == 1


async def test_a_build_whose_process_is_killed_is_built_by_another(tmp_path: Path, server: RedisServer) -> None:
    with processes(2, "build", tmp_path, server) as started:
        (tmp_path / "start").touch()
        killed = await first(tmp_path, "built")
        os.kill(killed, signal.SIGKILL)
        (tmp_path / "go").touch()
        [left] = [each for each in started if each.pid != killed]
        assert lines(left) == ["made.once:1.0.0"] * 5
    assert len(who(tmp_path, "built")) == 2


async def test_a_killed_process_leaves_registrations_whole(tmp_path: Path, server: RedisServer, redis: Redis) -> None:
    keys, store, luck = RegistryKeys(redis), RedisToolStore(redis), random.Random(7)
    (tmp_path / "start").touch()
    for _ in range(3):
        with processes(1, "register", tmp_path, server) as [process]:
            assert line(process) == "began"
            await anyio.sleep(luck.uniform(0.0, 0.3))
            process.kill()
    ids = [id.decode() for id in await redis.execute("ZRANGE", keys.index, 0, -1)]
    stored = await redis.execute("KEYS", f"{keys.tool('many.t')[:-1]}*")
    assert len(ids) > 1
    assert sorted(stored) == sorted(keys.tool(id).encode() for id in ids)
    statuses = await redis.execute("MGET", *map(keys.status, ids))
    assert {*statuses} == {b"active"}
    for id in ids:
        assert await store.get(*id.split(":")) is not None


@pytest.mark.parametrize(("what", "answer"), [("again", "6"), ("once", "in_doubt")])
async def test_a_call_whose_process_is_killed(what: str, answer: str, tmp_path: Path, server: RedisServer) -> None:
    with processes(2, what, tmp_path, server) as started:
        (tmp_path / "start").touch()
        killed = await first(tmp_path, "called")
        os.kill(killed, signal.SIGKILL)
        (tmp_path / "go").touch()
        [left] = [each for each in started if each.pid != killed]
        assert lines(left) == [answer]
