"""How a deployment is, as ``tta health`` tells it: of each plugin, with the reason, in bounded time, and truly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Ship = Callable[..., Path]
PLUGINS = """
import time
from contextlib import asynccontextmanager
import anyio
from tta_kernel import *
KEY = Service("key")

class Quiet(Plugin[NoConfig]):
    @asynccontextmanager
    async def lifespan(self, ctx):
        print("quiet serves", flush=True)
        yield

class Says(Plugin[NoConfig]):
    @hookimpl
    async def health(self): return Health(*self.answer)

class Well(Says): answer = ("ok",)
class Ill(Says): answer = ("degraded", "7 \\x1b[2Jpages")
class Dead(Says): answer = ("failing", "no pages")
class Odd(Says): answer = ("great",)

class Raises(Plugin[NoConfig]):
    @hookimpl
    async def health(self): raise OSError("lost")

class Hangs(Plugin[NoConfig]):
    @hookimpl
    async def health(self): await anyio.sleep_forever()

class Fails(Plugin[NoConfig]):
    provides = (KEY,)
    @asynccontextmanager
    async def lifespan(self, ctx):
        raise OSError("no server")
        yield

class Needs(Well): requires = (KEY,)

class Starts(Well):
    @asynccontextmanager
    async def lifespan(self, ctx):
        await anyio.sleep_forever()
        yield

class Blocks(Well):
    @asynccontextmanager
    async def lifespan(self, ctx):
        time.sleep(60)
        yield

class Unready(Well):
    @asynccontextmanager
    async def lifespan(self, ctx):
        raise NotReady("not yet")
        yield
"""
NAMES = ["quiet", "well", "ill", "dead", "odd", "raises", "hangs", "fails", "needs", "starts", "blocks", "unready"]


@pytest.fixture
def health(ship: Ship, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    ship("patients", "\n".join(f"{name} = patients:{name.title()}" for name in NAMES), PLUGINS)
    folder = tmp_path / "config"
    folder.mkdir()

    def run(*plugins: str, options: str = "", required: bool = True) -> subprocess.CompletedProcess[str]:
        kernel = {"autoload": False, "stop_timeout": "100ms", "hook_timeouts": {"health": "100ms"}}
        sections = {name: {"required": required} for name in plugins}
        (folder / "base.yaml").write_text(json.dumps({"kernel": kernel, "plugins": sections}))
        (folder / "development.yaml").write_text("")
        kept = {key: value for key, value in os.environ.items() if not key.startswith("TTA_")}
        env = {**kept, "TTA_CONFIG": str(folder), "PYTHONPATH": str(tmp_path / "site")}
        command = [sys.executable, "-m", "tta_program", "health", *options.split()]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=40)

    return run


Health = Callable[..., subprocess.CompletedProcess[str]]


def test_it_is_0_where_all_is_well(health: Health) -> None:
    done = health("quiet", "well")
    assert done.returncode == 0, done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["NAME", "STATUS"],
        ["quiet", "ok"],
        ["well", "ok"],
    ]
    assert "quiet serves\n" in done.stderr


def test_each_plugin_is_told_with_its_reason_and_json_is_all_of_it(health: Health) -> None:
    plugins = ("well", "ill", "dead", "odd", "raises", "hangs", "fails", "needs")
    done = health(*plugins, options="--json")
    report = json.loads(done.stdout)
    told = {name: each["status"] for name, each in report["plugins"].items()}
    assert told == {
        "well": "ok", "ill": "degraded", "dead": "failing", "odd": "failing", "raises": "failing", "hangs": "failing",
        "fails": "failing", "needs": "failing",
    }  # fmt: skip
    assert "no server" in report["plugins"]["fails"]["detail"]
    assert "'fails' failed" in report["plugins"]["needs"]["detail"]
    assert "within 0.1 s" in report["plugins"]["hangs"]["detail"]
    assert (done.returncode, report["status"], report["not_started"]) == (1, "failing", [])


@pytest.mark.parametrize("plugin", ["ill", "dead", "odd", "raises", "fails", "unready"])
@pytest.mark.parametrize("required", [True, False])
def test_it_is_1_where_one_is_not_well(plugin: str, health: Health, *, required: bool) -> None:
    done = health(plugin, "well", required=required)
    assert done.returncode == 1, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith(f"{plugin} ")]
    assert "\x1b" not in line
    if plugin in ("fails", "unready"):
        assert line.split()[1] == ("failing" if required else "degraded")


def test_beside_a_running_system_nothing_serves(health: Health) -> None:
    done = health("quiet", "well", options="--beside")
    assert done.returncode == 0
    assert "quiet serves" not in done.stderr
    assert done.stdout.splitlines()[-1].split(maxsplit=2) == [
        "quiet", "-", "not started, since it doesn't say how it is",
    ]  # fmt: skip


def test_a_start_that_does_not_end_is_told_when_its_time_is_over(health: Health) -> None:
    done = health("starts", "well", options="--timeout 500ms")
    assert done.returncode == 1
    assert "not all had started and answered after 0.5 s" in done.stdout


def test_one_that_blocks_even_that_ends_the_process(health: Health) -> None:
    done = health("blocks", "well", options="--timeout 0.2")
    assert done.returncode == 70
    assert "blocks" in done.stderr


def test_what_cannot_be_started_at_all_is_3(health: Health) -> None:
    done = health("needs")
    assert done.returncode == 3
    assert "requires Service('key')" in done.stderr


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf", "1e9", "soon", "9999999d"])
def test_a_time_that_makes_no_sense_is_a_matter_of_usage(health: Health, timeout: str) -> None:
    done = health("well", options=f"--timeout={timeout}")
    assert done.returncode == 2
    assert "--timeout" in done.stderr
