"""What blocks is named while it lasts: with the plugin, its own frame, and for how long."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest

from tta_kernel import Context, Event, Kernel, KernelSettings, NoConfig, Plugin, PluginError, hookimpl
from tta_kernel.testing import until
from tta_program import BlockingKernel, LoopWatch, WiringWatch

Ship = Callable[..., Path]
LIMIT = 0.05


class Heard(logging.Handler):
    """What is warned of; code that blocks can wait for that."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self.named = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.named.set()


@pytest.fixture
def heard() -> Iterator[Heard]:
    heard = Heard()
    logging.getLogger("tta.kernel").addHandler(heard)
    Blocks.named = heard.named
    yield heard
    logging.getLogger("tta.kernel").removeHandler(heard)


class Rang(Event, frozen=True, tag="blocks.rang"):
    """For the handler."""


class Blocks(Plugin[NoConfig]):
    """Blocks in one of its parts, until that has been named."""

    named: ClassVar[threading.Event]
    part: ClassVar[str] = ""

    def block(self, part: str) -> None:
        if part == self.part:
            assert self.named.wait(20)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self.block("start")
        ctx.on(Rang, self.handle)
        ctx.publish(Rang())
        ctx.start_soon(self.work)
        yield
        self.block("stop")

    async def work(self) -> None:
        self.block("task")

    async def handle(self, event: Rang) -> None:
        self.block("handler")

    @hookimpl
    async def health(self) -> Any:
        self.block("hook")


@pytest.mark.parametrize("part", ["start", "stop", "task", "handler", "hook"])
async def test_a_blocked_event_loop_is_named_while_it_lasts(heard: Heard, part: str) -> None:
    kernel = Kernel(plugins={"blocks": type("Here", (Blocks,), {"part": part, "__module__": __name__})})
    with LoopWatch(kernel, LIMIT):
        async with kernel:
            await kernel.health()
            await until(lambda: bool(heard.lines) or part == "stop")
    own = rf"plugin 'blocks' at {re.escape(__file__)}:\d+ in block, in \S*threading.py:\d+ in wait"
    assert re.fullmatch(rf"the event loop has been blocked for \d+\.\d s, now by {own}", heard.lines[0])
    assert re.fullmatch(rf"the event loop was blocked for \d+\.\d s in all, by {own}", heard.lines[-1])


async def test_what_lasts_is_told_again_and_ever_less(heard: Heard) -> None:
    async def block_until_it_has_been_told_three_times() -> None:
        while len(heard.lines) < 3:
            assert heard.named.wait(20)
            heard.named.clear()

    kernel = Kernel(plugins={})
    with LoopWatch(kernel, LIMIT):
        await block_until_it_has_been_told_three_times()
    told = [float(seconds) for line in heard.lines for seconds in re.findall(r"blocked for (\S+) s", line)]
    # After 50, 100, 200 ms, as near as one decimal place comes, and at the end.
    assert told == sorted(told)
    assert len(told) == 4
    assert f"code of no plugin, at {threading.__file__}" in heard.lines[0]


async def test_a_limit_of_0_means_never(heard: Heard) -> None:
    threads = threading.active_count()
    with LoopWatch(Kernel(plugins={}), 0):
        assert threading.active_count() == threads


async def test_an_idle_event_loop_is_not_blocked(heard: Heard) -> None:
    answers: list[float] = []

    class Counted(LoopWatch):
        def _answer(self) -> None:
            super()._answer()
            answers.append(self._answered_at)

    with LoopWatch(Kernel(plugins={}), 5.0), Counted(Kernel(plugins={}), 5.0):
        await until(lambda: len(answers) >= 3)
    assert heard.lines == []
    # The third question came after two pauses: a few times a second, and no more.
    assert answers[2] - answers[0] >= 0.4


async def test_a_watch_may_be_started_and_stopped_in_different_tasks(heard: Heard) -> None:
    watch = LoopWatch(Kernel(plugins={}), LIMIT)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.lowlevel.checkpoint)
        watch.start()
    async with anyio.create_task_group():
        watch.stop()
    assert heard.lines == []


CULPRIT = """
import threading
from contextlib import asynccontextmanager
import anyio
from tta_kernel import *

class P(Plugin[NoConfig]):
    @asynccontextmanager
    async def lifespan(self, ctx):
        ctx.start_soon(self.work)
        yield

    async def work(self):
        await anyio.lowlevel.checkpoint()
        threading.Event().wait(0.3)  # blocks, and passes the innocent's time
        await anyio.sleep_forever()
"""
INNOCENT = """
from contextlib import asynccontextmanager
import anyio
from tta_kernel import *

class P(Plugin[NoConfig]):
    start_timeout = 0.15

    @asynccontextmanager
    async def lifespan(self, ctx):
        await anyio.sleep(0.01)
        yield
"""


@pytest.mark.usefixtures("nothing_installed")
async def test_an_innocent_plugin_s_time_out_says_who_blocked(heard: Heard, ship: Ship) -> None:
    ship("culprit", "culprit = culprit:P", CULPRIT)
    ship("innocent", "innocent = innocent:P", INNOCENT)
    kernel = Kernel(KernelSettings())
    with LoopWatch(kernel, LIMIT), pytest.raises(PluginError, match="'innocent'") as caught:
        async with kernel:
            raise AssertionError
    assert re.search(
        r"TimeoutError: the event loop was blocked for 0\.\d s by plugin 'culprit' at \S+culprit.py:15 in work, "
        r"in \S+threading.py:\d+ in wait: took longer than 0.15 s", str(caught.value),
    )  # fmt: skip


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_kernel_in_a_thread_of_its_own_is_watched(heard: Heard, backend: str) -> None:
    class Here(Blocks):
        part = "task"

    def told() -> bool:
        return bool(heard.lines)

    with BlockingKernel(Kernel(plugins={"blocks": Here}), backend=backend) as kernel:
        kernel.call(until, told)
    assert "plugin 'blocks' at" in heard.lines[0]


@pytest.mark.usefixtures("nothing_installed")
def test_what_makes_a_kernel_is_watched_without_an_event_loop(heard: Heard, ship: Ship) -> None:
    ship("loading", "loading = loading:P", f"{NAMED}\nblock()\nclass P(Plugin[NoConfig]): pass\n")
    with WiringWatch(LIMIT):
        Kernel()
    at = r"plugin 'loading' at \S+loading.py:\d+ in block, in \S+threading.py:\d+ in wait"
    assert re.fullmatch(rf"all has waited for \d+\.\d s for {at}", heard.lines[0])
    assert re.fullmatch(rf"it took \d+\.\d s in all: {at}", heard.lines[-1])


def test_a_host_s_own_plugin_is_named_while_it_is_made(heard: Heard) -> None:
    class Here(Blocks):
        part = "constructor"

        def __init__(self, config: NoConfig) -> None:
            super().__init__(config)
            self.block("constructor")

    with WiringWatch(LIMIT, plugins={"here": Here}):
        Kernel(plugins={"here": Here})
    assert f"plugin 'here' at {__file__}:" in heard.lines[0]


# Each blocks until it has been named, which the filter of a logger sees.
NAMED = """
import logging, threading
from contextlib import asynccontextmanager
import anyio
from tta_kernel import *

named = threading.Event()

def see(record):
    if "plugin " in record.getMessage() and record.levelno == logging.WARNING:
        named.set()
    return True

logging.getLogger("tta.kernel").addFilter(see)

def block():
    named.clear()
    if not named.wait(20):
        raise AssertionError("it was not named")
"""
WHOLE = (
    NAMED
    + """
PART = "{part}"

def part(name):
    if name == PART:
        block()

part("import")

class Rang(Event, frozen=True, tag="blocking.rang"):
    pass

class P(Plugin[NoConfig]):
    def __init__(self, config):
        part("constructor")
        super().__init__(config)

    @asynccontextmanager
    async def lifespan(self, ctx):
        part("start")
        ctx.on(Rang, self.handle)
        ctx.publish(Rang())
        ctx.start_soon(self.work)
        ctx.start_soon(self.ask, ctx)
        yield
        part("stop")

    async def work(self):
        part("task")

    async def handle(self, event):
        part("handler")

    async def ask(self, ctx):
        await anyio.sleep(0.01)
        from tta_kernel.hookspecs import health
        await ctx.ask(health)

    @hookimpl
    async def health(self):
        part("hook")

    @hookimpl
    def check(self):
        part("check")
        return []
"""
)
PARTS = ["import", "constructor", "check", "start", "task", "handler", "hook", "stop"]


@pytest.mark.parametrize("part", PARTS)
def test_tta_run_names_what_blocks_while_it_lasts(tmp_path: Path, ship: Ship, part: str) -> None:
    site = ship("blocking", "blocking = blocking:P", WHOLE.replace("{part}", part))
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "base.yaml").write_text(
        "kernel: {autoload: false, log_format: json, block_warning: 50ms}\nplugins: {blocking: {}}\n"
    )
    (folder / "development.yaml").write_text("")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TTA_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tta_program", "run"], stderr=subprocess.PIPE, text=True,
        env={**kept, "TTA_CONFIG": str(folder), "PYTHONPATH": str(site)},
    )  # fmt: skip
    lines = []
    assert process.stderr is not None
    running = ended = False
    for line in process.stderr:
        lines.append(line)
        running = running or '"event":"running' in line
        ended = ended or " in all" in line
        if running and (ended or part == "stop"):
            process.send_signal(signal.SIGTERM)
            break
    lines += process.communicate(timeout=30)[1].splitlines()
    assert process.returncode == 0
    said = [line if line[0] != "{" else json.loads(line)["event"] for line in lines if line.strip()]
    print("\n".join(said))
    [first, *_] = [line for line in said if "plugin 'blocking' at" in line]
    assert f"{site}/blocking.py:" in first
    assert re.search(r"(has been blocked|all has waited) for \d+\.\d s", first)
