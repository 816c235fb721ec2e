"""A kernel for programs that are not async: it runs in a thread of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from contextlib import AbstractContextManager
from typing import Any, Self, TypeVar

import anyio
from anyio.abc import TaskStatus
from anyio.from_thread import BlockingPortal, start_blocking_portal

from .errors import KernelError
from .kernel import Kernel
from .lifecycle import GRACE

R = TypeVar("R")


class BlockingKernel:
    """Start, stop and call a kernel from synchronous code: ``with BlockingKernel(Kernel(…)) as k:``."""

    def __init__(self, kernel: Kernel, *, backend: str = "asyncio") -> None:
        self.kernel = kernel
        self._thread: AbstractContextManager[BlockingPortal] = start_blocking_portal(backend, name="tta kernel")
        self._portal: BlockingPortal | None = None
        self._done: Future[None] | None = None

    def start(self) -> None:
        """Start the kernel, and return when it runs; what a start raises is raised here."""
        if self._portal is not None:
            raise KernelError("a kernel runs once; make a new one")
        self._portal = self._thread.__enter__()
        try:
            self._done, _ = self._portal.start_task(self._serve, name="tta kernel")
        except BaseException:
            self._thread.__exit__(None, None, None)
            raise

    def stop(self) -> None:
        """Stop the kernel in order; what it raised while it ran is raised here."""
        if self._portal is None or self._done is None:
            return
        if not self._done.done():
            self._portal.call(self.kernel.stop)
        limit = self.kernel.wiring.settings.stop_timeout + 2 * GRACE
        try:
            self._done.result(limit)
        except TimeoutError:
            if not self._done.done():
                stuck = ", ".join(r.name for r in self.kernel.records.values() if r.state == "stopping")
                raise KernelError(f"still stopping after {limit:g} s: {stuck} ignores cancellation") from None
            raise
        finally:
            if self._done.done():
                self._thread.__exit__(None, None, None)

    def call(self, func: Callable[..., Awaitable[R]], *args: Any) -> R:
        """Await ``func(*args)`` in the kernel's event loop, and return its result."""
        if self._portal is None or self._done is None or self._done.done():
            if self._done is not None:
                self._done.result()
            raise KernelError("the kernel is not running; start it first")
        try:
            return self._portal.start_task_soon(func, *args).result()
        except CancelledError:
            raise KernelError("the kernel stopped before the call was done") from None

    async def _serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        assert self._portal is not None
        try:
            await self.kernel.serve(task_status=task_status)
        finally:
            # A call that still waits would hold up the end for ever.
            await self._portal.stop(cancel_remaining=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
