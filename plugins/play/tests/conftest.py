"""What the tests of a program at a terminal need of the process that starts it."""

from __future__ import annotations

import signal

import pytest


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Let child processes hear SIGINT, which a shell keeps from what it runs in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
