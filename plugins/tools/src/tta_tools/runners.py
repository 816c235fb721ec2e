"""Where a tool runs: in the event loop, in a thread, or in a process of its own (`isolated`); each calls it once."""

from __future__ import annotations

import contextvars
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import anyio
import anyio.from_thread
import anyio.lowlevel
from msgspec import Struct

from tta_kernel.errors import raised_at
from tta_kernel.isolation import Escaped, as_failure

from .declaring import OnProgress
from .model import NotCalled, Progress, Reference, ToolError


class Job(Struct, frozen=True, kw_only=True):
    """One call of a tool: its arguments are checked, and it is allowed.

    ``tool`` is its ``name:version``; ``call`` is its `Tool.call`, for whoever runs it in this process, and
    ``reference`` is for whoever runs it in another. ``timeout`` is in seconds. ``memory`` in bytes, ``cpu`` in seconds
    of processor time, and ``output``, the bytes that a result may have, hold in a process of its own.
    """

    tool: str
    call: Callable[[Mapping[str, Any], OnProgress], Any]
    reference: Reference | None = None
    arguments: Mapping[str, Any] = {}
    timeout: float = 10.0
    memory: int | None = None
    cpu: float | None = None
    output: int = 1 << 20
    flags: tuple[str, ...] = ()


class Runner(Protocol):
    """Makes a call once, and returns what it returns; else raises `ToolError`, or `NotCalled`."""

    async def __call__(self, job: Job, on_progress: OnProgress) -> Any:
        """Make the call; ``on_progress`` is told how far it has come, in the event loop."""


async def in_loop(job: Job, on_progress: OnProgress) -> Any:
    """Run an async tool beside everything else; at its limit it is cancelled. Who ignores that can't be stopped."""
    with anyio.move_on_after(job.timeout) as limit:
        try:
            result = await job.call(job.arguments, on_progress)
        except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
            raise failed(job.tool, as_failure(exc)) from None
        # By the clock: who has blocked the loop, or heard no cancellation, is as late as others.
        if anyio.current_time() < limit.deadline:
            return result
    raise _late(job)


class InThread:
    """Runs each call of a sync tool in a thread of its own, beside the event loop.

    A thread can't be stopped: at the limit its caller goes on, and it keeps its place until it ends. A tool of which
    ``patience`` such threads are left is refused. They are daemons: no program waits for them to end.
    """

    def __init__(self, places: int = 32, patience: int = 3) -> None:
        self.late: Counter[str] = Counter()
        """How many threads of each tool go on, though nobody waits for them any more."""
        self.running = 0
        self._places = places
        self._patience = patience

    async def __call__(self, job: Job, on_progress: OnProgress) -> Any:
        """Make the call in a thread that nothing else uses."""
        if self.late[job.tool] >= self._patience:
            what = f"{job.tool}: {self._patience} calls of it don't end"
            raise NotCalled("unavailable", f"{what}; it is refused until one does, or this program is started anew")
        if self.running >= self._places:
            raise NotCalled("busy", f"{job.tool}: all {self._places} threads for tools are taken")
        call = _Call(job, on_progress, self._ended)
        try:
            call.start()
        except RuntimeError:
            raise NotCalled("busy", f"{job.tool}: the system gives no thread more") from None
        self.running += 1
        try:
            with anyio.move_on_after(job.timeout):
                await call.over.wait()
        finally:
            if not call.over.is_set():
                call.late = True
                self.late[job.tool] += 1
        if call.late:
            raise _late(job)
        if call.error is not None:
            raise failed(job.tool, as_failure(call.error)) from None
        return call.result

    def _ended(self, call: _Call) -> None:
        call.over.set()
        self.running -= 1
        if call.late:
            self.late[call.job.tool] -= 1


class _Call:
    """One call in its thread."""

    def __init__(self, job: Job, on_progress: OnProgress, ended: Callable[[_Call], None]) -> None:
        self.job = job
        self.over = anyio.Event()
        self.late = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._on_progress = on_progress
        self._ended = ended
        self._loop = anyio.lowlevel.current_token()

    def start(self) -> None:
        """Run it, with the context variables of whoever calls."""
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run,), name=f"tool {self.job.tool}", daemon=True).start()

    def _run(self) -> None:
        try:
            self.result = self.job.call(self.job.arguments, self._report)
        except BaseException as exc:  # noqa: BLE001 - told to whoever called, where it can be handled
            self.error = exc
        self._in_loop(self._ended, self)

    def _report(self, progress: Progress) -> None:
        if not self.late:
            self._in_loop(self._on_progress, progress)

    def _in_loop(self, function: Callable[[Any], None], argument: object) -> None:
        try:
            anyio.from_thread.run_sync(function, argument, token=self._loop)
        except anyio.RunFinishedError:
            # Nobody is there any more to be told.
            return


def failed(tool: str, exc: Exception) -> ToolError:
    """Say that a tool raised something, in words that hold nothing of its own, unless it raised a `ToolError`."""
    if isinstance(exc, ToolError):
        return exc
    # `Escaped` says that it was no `Exception`; what it was is its cause.
    raised = exc.__cause__ or exc if isinstance(exc, Escaped) else exc
    return ToolError("failed", f"{tool}: raised {type(raised).__name__:.100} at {raised_at(raised)}")


def _late(job: Job) -> ToolError:
    return ToolError("timed_out", f"{job.tool}: took longer than {job.timeout:g} s")
