"""What goes on behind the calls: begun by them, owned by the service, waited for at its end."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from anyio.abc import TaskGroup

from tta_messages import MessagesError

log = logging.getLogger("tta.messages-redis")


class Background:
    """Runs work in a task group that outlives the calls; what fails there is logged."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._busy, self._closed = 0, False
        self._idle = anyio.Event()
        self._waiting: deque[tuple[Callable[..., Awaitable[None]], tuple[Any, ...]]] = deque()
        self._called = anyio.Event()

    def soon(self, do: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Do something behind the call; after the end nothing is done any more."""
        if self._closed:
            return
        self._busy += 1
        if asyncio.current_task() is not None:
            self._tasks.start_soon(self._watched, do, *args)
        else:
            self._waiting.append((do, args))
            self._called.set()

    def need(self, do: Callable[..., Awaitable[None]]) -> None:
        """Do something for which somebody waits; raises after the end."""
        if self._closed:
            raise MessagesError("the service has ended")
        self.soon(do)

    async def run(self) -> None:
        """Begin what a timer or a reader has called for: only a task can be sure to begin another."""
        while True:
            while self._waiting:
                do, args = self._waiting.popleft()
                self._tasks.start_soon(self._watched, do, *args)
            self._called = anyio.Event()
            await self._called.wait()

    async def _watched(self, do: Callable[..., Awaitable[None]], *args: Any) -> None:
        try:
            await do(*args)
        except MessagesError as exc:
            log.warning("not done: %s", exc)
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    async def settled(self) -> None:
        """Wait until nothing goes on."""
        while self._busy:
            self._idle = anyio.Event()
            await self._idle.wait()

    def close(self) -> None:
        """Begin nothing more."""
        self._closed = True
