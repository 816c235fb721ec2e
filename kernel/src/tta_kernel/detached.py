"""A task that stands outside of everybody's task groups, and is held by whoever started it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any


def detach(func: Callable[[], Coroutine[Any, Any, None]]) -> object:
    """Run ``func()`` in a task of its own on the running event loop, and return the task; the caller holds it.

    ``func`` handles what goes wrong in it, since nobody else does. The end of the event loop cancels it.
    """
    # Asked first: in trio's guest mode asyncio says that its loop is running, too.
    trio = sys.modules.get("trio")
    if trio and trio.lowlevel.in_trio_task():
        return trio.lowlevel.spawn_system_task(func, name="tta kernel", context=copy_context())
    # Imported late, since the kernel runs without it on trio.
    import asyncio

    return asyncio.create_task(func(), name="tta kernel")  # noqa: TID251 - the one owner without a task group


def interrupt() -> None:
    """Do what Ctrl-C does, where this is the thread that hears it: whoever obeys it there ends what runs."""
    import signal
    import threading

    if threading.current_thread() is threading.main_thread():
        signal.raise_signal(signal.SIGINT)
