"""A running event loop, as other threads reach and see it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from types import FrameType
from typing import Any

Schedule = Callable[[Callable[[], object]], object]
"""Lets a function run soon in an event loop, without waiting for it; a RuntimeError if that has ended."""


class Loop:
    """The event loop that runs here."""

    def __init__(self) -> None:
        # Asked first: in trio's guest mode asyncio says that its loop is running, too.
        trio: Any = sys.modules.get("trio")
        self.schedule: Schedule
        if trio is not None and trio.lowlevel.in_trio_task():
            self._asyncio = None
            self.schedule = trio.lowlevel.current_trio_token().run_sync_soon
        else:
            self._asyncio = asyncio.get_running_loop()  # noqa: TID251 - anyio's own calls wait for the loop
            # The context says which event loop is running, to anyio.
            self.schedule = partial(self._asyncio.call_soon_threadsafe, context=copy_context())

    def task(self, frame: FrameType | None) -> str:
        """Name the task that runs, given the innermost frame of the loop's thread; empty where none does."""
        if self._asyncio is not None:
            running = asyncio.current_task(self._asyncio)
            return running.get_name() if running else ""
        while frame is not None:
            if frame.f_code.co_name == "unrolled_run" and frame.f_globals.get("__name__") == "trio._core._run":
                # trio tells it nobody but the task itself.
                return str(getattr(frame.f_locals.get("task"), "name", ""))
            frame = frame.f_back
        return ""
