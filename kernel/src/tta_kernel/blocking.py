"""A kernel for programs that are not async: it runs in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, Self, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from .errors import KernelError
from .kernel import Kernel
from .lifecycle import GRACE, unwrap

R = TypeVar("R")


class BlockingKernel:
    """Start, stop and call a kernel from synchronous code: ``with BlockingKernel(Kernel(…)) as k:``."""

    def __init__(self, kernel: Kernel, *, backend: str = "asyncio") -> None:
        self.kernel, self._backend = kernel, backend
        self._portal: BlockingPortal | None = None
        self._begun = False
        self._done: Future[None] = Future()

    def start(self) -> None:
        """Start the kernel, and return when it runs; what a start raises is raised here."""
        if self._begun:
            raise KernelError("a kernel runs once; make a new one")
        self._begun = True
        started: Future[None] = Future()
        threading.Thread(target=self._thread, args=(started,), name="tta kernel", daemon=True).start()
        started.result()

    def stop(self) -> None:
        """Stop the kernel in order; what it raised while it ran is raised here."""
        if not self._begun:
            return
        if self._portal is not None and not self._done.done():
            with suppress(RuntimeError):  # It ended by itself, just now.
                self._portal.start_task_soon(self._stop)
        limit = self.kernel.wiring.settings.stop_timeout + 2 * GRACE
        try:
            self._done.result(limit)
        except TimeoutError:
            if self._done.done():
                raise
            stuck = ", ".join(r.name for r in self.kernel.records.values() if r.state == "stopping")
            raise KernelError(f"still stopping after {limit:g} s: {stuck} ignores cancellation") from None

    def call(self, func: Callable[..., Awaitable[R]], *args: Any) -> R:
        """Await ``func(*args)`` in the kernel's event loop, and return its result."""
        if self._done.done():
            self._done.result()
        if self._portal is None or self._done.done():
            raise KernelError("the kernel is not running; start it first")
        try:
            return self._portal.start_task_soon(func, *args).result()
        except CancelledError:
            raise KernelError("the kernel stopped before the call was done") from None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    async def _stop(self) -> None:
        self.kernel.stop()

    async def _run(self, started: Future[None]) -> None:
        async with BlockingPortal() as portal:
            async with anyio.create_task_group() as tasks:
                await tasks.start(self.kernel.serve)
                self._portal = portal
                started.set_result(None)
            # A call that still waits would hold up the end for ever.
            await portal.stop(cancel_remaining=True)

    def _thread(self, started: Future[None]) -> None:
        try:
            anyio.run(self._run, started, backend=self._backend)
        except BaseException as exc:  # noqa: BLE001 - raised again in the thread that waits
            for future in (self._done, started):
                if not future.done():
                    future.set_exception(unwrap(exc))
        else:
            self._done.set_result(None)
