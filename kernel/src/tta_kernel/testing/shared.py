"""A store that several processes share, opened once more: in the test's own process, and in another one."""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from subprocess import PIPE
from typing import Any, Concatenate, Generic, TypeVar

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

T = TypeVar("T")

LONG = 20.0
"""Seconds for what should take milliseconds: an upper bound, so that a failure shows."""
_LONGEST_LINE = 1_000_000

Tell = Callable[[Any], None]
"""What work in another process says: anything that JSON can carry."""


@dataclass(frozen=True)
class Shared(Generic[T]):
    """How a store is opened once more: by ``open(*arguments)``, in whichever process.

    ``open`` is a function in a module, or in a test's file that imports nothing relatively; another process looks it
    up there. JSON carries the arguments, such as a folder's path.
    """

    open: Callable[..., AbstractAsyncContextManager[T]]
    arguments: tuple[Any, ...] = ()

    def again(self) -> AbstractAsyncContextManager[T]:
        """Open the store once more in this process: ``async with shared.again() as other: …``."""
        return self.open(*self.arguments)

    @asynccontextmanager
    async def elsewhere(
        self, work: Callable[Concatenate[T, Tell, ...], Awaitable[None]], *arguments: Any
    ) -> AsyncIterator[Elsewhere]:
        """Do ``work(store, tell, *arguments)`` in a process of its own, which has opened the store by then.

        After the block the process has ended, or is killed.
        """
        task = {
            "path": sys.path,
            "open": [*_place(self.open), *self.arguments],
            "work": [*_place(work), *arguments],
        }
        command = [sys.executable, "-m", "tta_kernel.testing.worker", json.dumps(task)]
        process = await anyio.open_process(command, stdin=PIPE, stdout=PIPE, stderr=None)
        try:
            async with process, anyio.create_task_group() as tasks:
                other = Elsewhere(process)
                tasks.start_soon(other.listen)
                try:
                    yield other
                finally:
                    other.kill()
        except BaseExceptionGroup as group:
            raise _alone(group) from None


def _alone(exc: BaseException) -> BaseException:
    """Return what a test has failed by, which task groups wrap."""
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        (exc,) = exc.exceptions
    return exc


def _place(function: Callable[..., object]) -> tuple[str, str, str]:
    """Say where another process finds a function."""
    return function.__module__, inspect.getfile(inspect.unwrap(function)), function.__qualname__


class Elsewhere:
    """The other process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.told: list[Any] = []
        """All that its work has told so far."""
        self._changed = anyio.Event()
        self._over = False

    async def listen(self) -> None:
        """Take in what is told, until the process has ended."""
        assert self._process.stdout is not None
        lines = BufferedByteReceiveStream(self._process.stdout)
        try:
            while True:
                self.told.append(json.loads(await lines.receive_until(b"\n", _LONGEST_LINE)))
                self._notify()
        except (anyio.EndOfStream, anyio.IncompleteRead):
            self._over = True
            self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def until_told(self, count: int = 1) -> None:
        """Wait until so much was told."""
        with anyio.fail_after(LONG):
            while len(self.told) < count:
                assert not self._over, f"the other process has ended, and told {self.told}: see its stderr"
                await self._changed.wait()

    async def until_over(self) -> None:
        """Wait until its work is done; one that raised fails the test."""
        with anyio.fail_after(LONG):
            code = await self._process.wait()
        assert code == 0, "the work of the other process failed: see its stderr"

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let it stand still, in the middle of whatever it does, for as long as the block.

        Where the block stops this process's event loop, waiting for something that only the other one can let go of,
        it goes on all the same, and the test has failed.
        """
        stuck = threading.Timer(LONG / 4, self.resume)
        assert not self._over, "the other process has ended, though its work has none: see its stderr"
        self._signal(signal.SIGSTOP)
        with suppress(ChildProcessError):  # It has ended this very moment.
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        stuck.start()
        try:
            yield
        finally:
            late = stuck.finished.is_set()
            stuck.cancel()
            self.resume()
        assert not late, "this process's event loop stood still while another process was paused"

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, be it paused."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
