"""What a person has said and was told comes to every store there is; forgotten, no word of it and no name is left."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tta_kernel import Kernel
from tta_kernel.testing import logged
from tta_program import Subcommands
from tta_redis.testing import RedisServer, redis_server
from tta_sessions import commands
from tta_sessions.hookspecs import forget
from tta_world import WORLD, Player, diff
from tta_world.testing import some_world

from .deployment import (
    SECRET,
    SHARED,
    USER,
    WORDS,
    deployment,
    left_in_memory,
    plant,
    there_is_something_everywhere,
)
from .traces import in_files, in_memory, in_redis


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as found:
        yield found


async def forgotten(kernel: Kernel) -> Mapping[str, int]:
    answers = await kernel.ask(forget, USER)
    assert {name: answer for name, answer in answers.items() if not isinstance(answer, int)} == {}
    return {name: answer for name, answer in answers.items() if isinstance(answer, int)}


async def tta_forget(kernel: Kernel) -> int:
    parser = argparse.ArgumentParser(prog="tta")
    commands.add(Subcommands(parser))
    options = parser.parse_args(["forget", USER])
    return int(await options.command.run(kernel, options))


async def test_in_memory_no_word_and_no_name_is_left(tmp_path: Path) -> None:
    with logged("") as log:
        async with deployment(tmp_path) as kernel:
            await plant(kernel)
            world = some_world(player=Player("hall", name=SECRET))
            await kernel.get(WORLD).apply("s-1", 0, diff(None, world), "t-1", owner=USER)
            del world
            await there_is_something_everywhere(kernel)
            assert in_memory(kernel, WORDS).keys() == {*WORDS}
            erased = await forgotten(kernel)
            left = await left_in_memory(kernel)
    assert left == {}
    assert {name for name, count in erased.items() if count} >= {
        "audit", "crisis-memory", "events", "messages-memory", "notify-memory", "safety-memory", "schedules-memory",
        "sessions-memory", "workflows-memory", "world-memory",
    }  # fmt: skip
    assert in_files(tmp_path, WORDS) == {}
    assert [line for line in log if SECRET in line or USER in line] == []


async def test_on_redis_no_word_and_no_name_is_left(
    tmp_path: Path, server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with logged("") as log:
        async with deployment(tmp_path, server.url) as kernel:
            await plant(kernel)
            await there_is_something_everywhere(kernel)
            assert in_redis(server, WORDS).keys() == {*WORDS}
            assert await tta_forget(kernel) == 0
            left = await left_in_memory(kernel)
        told = capsys.readouterr().out
    assert left == {}
    assert in_redis(server, WORDS) == {}
    assert in_files(tmp_path, WORDS) == {}
    assert [line for line in log if SECRET in line or USER in line] == []
    for name in SHARED:
        assert name == "breakers" or f"\n{name}-redis " in told or name == "audit"


async def test_where_one_store_fails_the_others_forget_and_it_is_said_what_to_do(
    tmp_path: Path, server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with deployment(tmp_path, server.url) as kernel:
        await plant(kernel)
        broken = server.command("KEYS", f"*crisis*owner:{USER}")[0]
        server.command("RENAME", broken, "aside")
        server.command("SET", broken, "not an index")
        assert await tta_forget(kernel) == 1
        said = capsys.readouterr()
        assert "crisis-redis: CrisisError" in said.err
        assert "run it again" in said.err
        assert "sessions-redis" in said.out
        server.command("RENAME", "aside", broken)
        assert await tta_forget(kernel) == 0
    assert in_redis(server, WORDS) == {}


@pytest.mark.timeout(300)
async def test_a_process_that_runs_beside_hears_of_it_or_is_named(
    tmp_path: Path, server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the process in which the person has played holds in its memory, no store can reach."""
    folders = [tmp_path / name for name in ("beside", "here")]
    for folder in folders:
        folder.mkdir()
    command = [sys.executable, "-m", "forgetting.worker", server.url, str(folders[0])]
    with subprocess.Popen(  # noqa: ASYNC220 - it is there in no time, and read in a thread
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    ) as beside:
        assert beside.stdin is not None
        assert beside.stdout is not None
        try:
            assert await anyio.to_thread.run_sync(beside.stdout.readline) == "planted\n"
            async with deployment(folders[1], server.url) as kernel:
                beside.send_signal(signal.SIGSTOP)
                assert await tta_forget(kernel) == 1
                assert f":{beside.pid}:" in capsys.readouterr().err
                beside.send_signal(signal.SIGCONT)
                # The one that hung may still have to do what it was asked while nobody waited.
                with anyio.fail_after(120):
                    while await tta_forget(kernel):  # noqa: ASYNC110 - what runs beside tells nobody else
                        await anyio.sleep(0.5)
            beside.stdin.write("look\n")
            beside.stdin.flush()
            assert await anyio.to_thread.run_sync(beside.stdout.readline) == "\n"
        finally:
            beside.kill()
    assert in_redis(server, WORDS) == {}


def test_the_page_on_data_protection_names_every_plugin_that_forgets(root: Path) -> None:
    page = (root / "docs" / "data-protection.md").read_text(encoding="utf-8")
    names = {each.name for each in entry_points(group="tta.plugins") if hasattr(each.load(), forget.__name__)}
    assert {name for name in names if f"`{name}`" not in page} == set()
    assert len(names) > 15
