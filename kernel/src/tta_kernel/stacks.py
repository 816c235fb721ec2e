"""Where the tasks of a plugin are: what an operator wants to see of one that won't stop."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any

import anyio


def stacks(name: str) -> str:
    """Format the stacks of all running tasks called ``name``, or ``name: …``."""
    found = []
    for task in anyio.get_running_tasks():
        if f"{task.name}: ".startswith(f"{name}: "):
            found += [f"task {task.name}\n", *traceback.StackSummary.extract(_frames(task.coro)).format()]
    return "".join(found)


def _frames(awaitable: Any) -> Iterator[tuple[FrameType, int]]:
    """Follow what awaits what, outermost first, through coroutines and generators; each with its line."""
    while awaitable is not None:
        for frame, inner in (("cr_frame", "cr_await"), ("ag_frame", "ag_await"), ("gi_frame", "gi_yieldfrom")):
            if hasattr(awaitable, frame):
                if at := getattr(awaitable, frame):
                    yield at, at.f_lineno
                awaitable = getattr(awaitable, inner)
                break
        else:
            # The step of an async generator hides its generator from everybody but the collector.
            awaitable = next((o for o in gc.get_referents(awaitable) if hasattr(o, "ag_frame")), None)
