"""What a plugin does that would keep a process from its end, or end it with somebody else's exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Ship = Callable[..., Path]
Done = subprocess.CompletedProcess[str]
IMPORTS = """
import asyncio, logging, os, signal, sys, threading, time
from contextlib import asynccontextmanager
import anyio
from tta_kernel import *
from tta_program import Subcommands
"""
COMMAND = """
class P(Plugin[NoConfig]):
    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands):
        async def say(kernel, options):
            print("said")
            return 0
        subcommands.add("say", say, help="say something", whole=True)

    @asynccontextmanager
    async def lifespan(self, ctx):
{body}
"""
QUICK = "kernel: {autoload: false, stop_timeout: 500ms, log_format: json}\nplugins: {odd: {}}\n"


def plugin(*body: str) -> str:
    """Return the source of a plugin whose lifespan has these lines, and that has the command `say`."""
    return IMPORTS + COMMAND.format(body="\n".join(f"        {line}" for line in body))


def start(ship: Ship, tmp_path: Path, code: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    site = ship("odd-plugin", "odd = odd_plugin:P", code)
    (tmp_path / "base.yaml").write_text(QUICK)
    (tmp_path / "development.yaml").write_text("")
    environment = os.environ | {"PYTHONPATH": str(site), "TTA_CONFIG": str(tmp_path), **variables}
    command = [sys.executable, "-m", "tta_program", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def tta(ship: Ship, tmp_path: Path, code: str, *arguments: str, **variables: str) -> Done:
    process = start(ship, tmp_path, code, *arguments, **variables)
    try:
        out, err = process.communicate(timeout=40)
    finally:
        process.kill()
    return Done(process.args, process.returncode, out, err)


UNENDING = {
    "in a thread": "threading.Thread(target=threading.Event().wait, name='of the plugin').start()",
    "at the exit": "import atexit; atexit.register(threading.Event().wait)",
}


@pytest.mark.parametrize(("where", "named"), [("in a thread", "of the plugin"), ("at the exit", "atexit")])
def test_what_goes_on_when_all_is_done_is_named_and_ended(ship: Ship, tmp_path: Path, where: str, named: str) -> None:
    done = tta(ship, tmp_path, f"{IMPORTS}{UNENDING[where]}\nclass P(Plugin[NoConfig]): pass\n", "check")
    assert "ready to start" in done.stdout
    assert named in done.stderr
    assert done.returncode == 70


UNINTERRUPTED = {
    "ignores the signal": "signal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True:\n    time.sleep(0.05)\n",
    "catches everything": "while True:\n    try:\n        time.sleep(1)\n    except BaseException:\n        pass\n",
}


@pytest.mark.parametrize("code", UNINTERRUPTED.values(), ids=UNINTERRUPTED.keys())
def test_an_import_that_cannot_be_interrupted_ends_the_process(ship: Ship, tmp_path: Path, code: str) -> None:
    done = tta(ship, tmp_path, "import signal, time\n" + code, "check", TTA__KERNEL__IMPORT_TIMEOUT="300ms")
    assert "plugin 'odd' has been imported" in done.stderr
    assert done.returncode == 70


def test_a_command_ends_though_a_plugin_does_not_stop(ship: Ship, tmp_path: Path) -> None:
    code = plugin("yield", "with anyio.CancelScope(shield=True):", "    await anyio.sleep_forever()")
    done = tta(ship, tmp_path, code, "say")
    assert done.stdout == "said\n"
    assert "'odd' ignores cancellation" in done.stderr
    assert done.returncode == 70


ENDINGS = {
    "a callback exits": "loop.call_soon(sys.exit, 0)",
    "a task exits": "self.task = loop.create_task(self.leave())",
    "the loop is stopped": "loop.call_soon(loop.stop)",
    "all tasks are cancelled": "loop.call_soon(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])",
}


@pytest.mark.parametrize("command", ["run", "say"])
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_a_plugin_that_ends_the_event_loop_gives_no_exit_code(
    ship: Ship, tmp_path: Path, ending: str, command: str
) -> None:
    wait = "await anyio.sleep_forever()"
    leave = "    async def leave(self):\n        raise SystemExit(0)\n"
    code = plugin("loop = asyncio.get_running_loop()", ending, wait, "yield") + leave
    done = tta(ship, tmp_path, code, command)
    assert "the event loop was ended" in done.stderr
    assert done.returncode == 1


def test_an_exit_of_a_command_itself_is_its_exit_code(ship: Ship, tmp_path: Path) -> None:
    done = tta(ship, tmp_path, plugin("yield").replace("return 0", "sys.exit(5)"), "say")
    assert done.returncode == 5


@pytest.mark.parametrize("other", ["None", "open(os.devnull, 'w')"])
def test_an_import_that_replaces_the_standard_streams_hides_nothing(ship: Ship, tmp_path: Path, other: str) -> None:
    done = tta(ship, tmp_path, f"{IMPORTS}sys.stdout = sys.stderr = {other}\nraise OSError('no tide')\n", "check")
    assert "no tide" in done.stdout
    assert done.returncode == 1


def test_an_interrupt_in_a_group_is_one(ship: Ship, tmp_path: Path) -> None:
    code = "raise BaseExceptionGroup('', [KeyboardInterrupt(), SystemExit(0)])\n"
    done = tta(ship, tmp_path, code, "check")
    assert done.stderr == ""
    assert done.returncode == 130
