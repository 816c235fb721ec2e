"""Who hears the signals of `tta run`: the kernel, whatever plugins do to handlers and with forks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

Ship = Callable[..., Path]
TAKING = """
import asyncio, signal
from contextlib import asynccontextmanager
from tta_kernel import NoConfig, Plugin
class Server:
    def stop(self, *args): pass
class P(Plugin[NoConfig]):
    @asynccontextmanager
    async def lifespan(self, ctx):
        number = signal.{number}
        {take}
        yield
"""
FORKING = """
import asyncio, os, signal, sys, time
from contextlib import asynccontextmanager
from tta_kernel import NoConfig, Plugin
class P(Plugin[NoConfig]):
    @asynccontextmanager
    async def lifespan(self, ctx):
        self.pid = os.fork()
        if not self.pid:
            {child}
            print("child", os.getpid(), file=sys.stderr, flush=True)
            time.sleep(60)
            os._exit(0)
        ctx.start_soon(self.wait)
        yield
    async def wait(self):
        _, status = await asyncio.to_thread(os.waitpid, self.pid, 0)
        print("ended as", os.waitstatus_to_exitcode(status), file=sys.stderr, flush=True)
"""


@contextmanager
def running(tmp_path: Path, ship: Ship, code: str) -> Iterator[tuple[subprocess.Popen[str], Iterator[str]]]:
    """Run `tta run` with one plugin, and give the process and what it says."""
    site = ship("taking", "taking = taking:P", code)
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "base.yaml").write_text("kernel: {autoload: false, log_format: json}\nplugins: {taking: {}}\n")
    (folder / "development.yaml").write_text("")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TTA_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tta_program", "run"], stderr=subprocess.PIPE, text=True,
        env={**kept, "TTA_CONFIG": str(folder), "PYTHONPATH": str(site)},
    )  # fmt: skip
    assert process.stderr is not None
    try:
        yield process, iter(process.stderr)
    finally:
        process.kill()
        process.communicate()


def said(lines: Iterator[str], word: str) -> str:
    """Return the first line with a word in it."""
    return next(json.loads(line)["event"] if line.startswith("{") else line for line in lines if word in line)


@pytest.mark.parametrize(
    ("number", "take", "by"),
    [
        ("SIGTERM", "signal.signal(number, Server().stop)", "plugin 'taking' at {}/taking.py:6 in stop"),
        ("SIGINT", "signal.signal(number, lambda *args: None)", "plugin 'taking' at {}/taking.py:11 in <lambda>"),
        ("SIGTERM", "signal.signal(number, signal.SIG_IGN)", "SIG_IGN"),
        ("SIGTERM", "asyncio.get_running_loop().add_signal_handler(number, print)", "asyncio"),
    ],
)
def test_a_plugin_that_takes_a_signal_over_cannot_keep_the_process_from_stopping(
    tmp_path: Path, ship: Ship, number: str, take: str, by: str
) -> None:
    """uvicorn #1579, and restatedev/sdk-python #226: a library's own handler, and nobody hears SIGTERM any more."""
    with running(tmp_path, ship, TAKING.format(number=number, take=take)) as (process, lines):
        told = said(lines, "taken over")
        assert told.startswith(f"{number} was taken over by ")
        assert by.format(tmp_path / "site") in told
        process.send_signal(signal.Signals[number])
        assert said(lines, "stopping") == f"stopping after {number}"
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("number", "child", "code"),
    [
        ("SIGTERM", "pass", -signal.SIGTERM),
        ("SIGHUP", "pass", -signal.SIGHUP),
        ("SIGINT", "signal.signal(signal.SIGINT, lambda *args: os._exit(7))", 7),
    ],
)
def test_a_signal_to_a_forked_child_is_not_for_its_parent(
    tmp_path: Path, ship: Ship, number: str, child: str, code: int
) -> None:
    """cpython #94454, fastapi #1487, pyroute2 #870: `Process.terminate` of a plugin's ended the whole process."""
    with running(tmp_path, ship, FORKING.format(child=child)) as (process, lines):
        pid = int(said(lines, "child").split()[1])
        os.kill(pid, signal.Signals[number])
        assert said(lines, "ended") == f"ended as {code}\n"
        process.terminate()
        assert said(lines, "stopping") == "stopping after SIGTERM"
        assert process.wait(20) == 0
