"""A plugin whose import or constructor doesn't return: interrupted, named, and the others go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest

from tta_program.imports import limited

HANGS = {
    "its import waits": "import time\n\ntime.sleep(60)\n",
    "its import loops": "while True:\n    pass\n",
    "its import catches all": (
        "import time\n\nfor _ in range(3):\n    try:\n        time.sleep(60)\n    except Exception:\n        pass\n"
        "raise OSError('gave up')\n"
    ),
    "its constructor waits": (
        "import time\nfrom tta_kernel import NoConfig, Plugin\n\n\nclass P(Plugin[NoConfig]):\n"
        "    def __init__(self, config):\n        time.sleep(60)\n"
    ),
}


@pytest.mark.parametrize("code", HANGS.values(), ids=HANGS.keys())
def test_a_plugin_that_does_not_return_is_interrupted_and_named(
    ship: Callable[..., Path], tmp_path: Path, code: str
) -> None:
    module = f"hanging_{[*HANGS.values()].index(code)}"
    site = ship(module, f"hanging = {module}:P", code)
    ship("quick-plugin", "quick = quick_plugin:P", "from tta_kernel import *\nclass P(Plugin[NoConfig]): pass\n")
    (tmp_path / "base.yaml").write_text(
        "kernel: {autoload: false, import_timeout: 300ms}\nplugins: {hanging: {required: false}, quick: {}}\n"
    )
    (tmp_path / "development.yaml").write_text("")
    environment = os.environ | {"PYTHONPATH": str(site), "TTA_CONFIG": str(tmp_path)}
    command = [sys.executable, "-m", "tta_program", "plugins"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=30)
    told = [line for line in done.stderr.splitlines() if line.startswith("plugin 'hanging'")]
    assert len(told) == 1
    assert "it took longer than 0.3 s" in told[0] or "gave up" in told[0]
    assert f"{module}.py:" in told[0]
    assert any(line.startswith("quick") and "ready" in line for line in done.stdout.splitlines())
    assert done.returncode == 1


def test_somebody_else_s_timer_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGALRM)
    running = signal.getitimer(signal.ITIMER_REAL)[0] > 0
    if not running:
        signal.setitimer(signal.ITIMER_REAL, 1000)
    try:
        with limited(0.01):
            assert signal.getsignal(signal.SIGALRM) is before
    finally:
        if not running:
            signal.setitimer(signal.ITIMER_REAL, 0)


def test_in_another_thread_there_is_no_limit() -> None:
    ended: list[float] = []

    def enter() -> None:
        with limited(0.01):
            ended.append(monotonic())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert len(ended) == 1
