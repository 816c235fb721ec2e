"""How long the event loop and the first text wait: little, as whatever takes long is done before, and in a thread."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SCRIPT = """
import time
import anyio
from tta_kernel.testing import running
from tta_safety import About, SafetyPlugin, check_text
from tta_safety_rules import SafetyRules

async def main():
    began = time.thread_time()
    async with running(SafetyRules, SafetyPlugin, config={"deep": False}) as kernel:
        print(time.thread_time() - began)
        for text in ("I want to kill myself", "i t0ok all the p1lls \\U0001f48a", "the dragon sleeps"):
            began = time.thread_time()
            await kernel.ask(check_text, text, "player", "session", About())
            print(time.thread_time() - began)

anyio.run(main)
"""


@pytest.fixture(scope="module")
def seconds() -> list[float]:
    """What a start, and each of the first texts, take of the event loop's own thread, in a new process."""
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    return [float(line) for line in done.stdout.split()]


def test_rules_and_heads_are_loaded_beside_the_event_loop(seconds: list[float]) -> None:
    assert seconds[0] < 0.15, "loading belongs into a thread"


def test_the_first_texts_wait_for_nothing(seconds: list[float]) -> None:
    assert max(seconds[1:]) < 0.02, "what is built as it is first needed belongs into `warm`"
