"""A kernel for programs that are not async: it runs in a thread of its own."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from contextvars import Context, copy_context
from copy import copy
from functools import partial
from typing import Any, Self, TypeVar

import anyio
from anyio.abc import TaskGroup

from tta_kernel import Kernel, KernelError, as_failure, check_duration
from tta_kernel.isolation import ungrouped
from tta_kernel.lifecycle import GRACE

from .loops import Loop, Schedule
from .watch import LoopWatch

A = TypeVar("A")
R = TypeVar("R")
Stream = AsyncIterable[R] | AbstractAsyncContextManager[AsyncIterable[R]]


class BlockingKernel:
    """Start, stop and call a kernel from synchronous code: ``with BlockingKernel(Kernel(…)) as k:``.

    Any thread may call, but the kernel's own. ``backend`` and ``backend_options`` are those of `anyio.run`. A
    program that ends without `stop` stops the kernel all the same.
    """

    def __init__(
        self, kernel: Kernel, *, backend: str = "asyncio", backend_options: Mapping[str, Any] | None = None
    ) -> None:
        if not isinstance(kernel, Kernel):
            raise TypeError(f"expected a Kernel, not {type(kernel).__name__}")  # Fail now, not in a thread.
        self.kernel = kernel
        self._backend = backend
        self._backend_options = {**(backend_options or {})}
        # A handler of a signal may call while its thread holds it.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._process = 0
        self._schedule: Schedule | None = None
        """Lets a function run in the event loop, for as long as that takes calls."""
        self._calls: TaskGroup | None = None
        self._futures: set[Future[Any]] = set()
        self._stop_wanted = False
        self._started: Future[None] = Future()
        self._ended = threading.Event()

    def start(self) -> None:
        """Start the kernel, and return when it runs; what a start raises is raised here.

        A start that Ctrl-C interrupts stops what had started.
        """
        with self._lock:
            if self._thread is not None:
                raise KernelError("a kernel runs once; make a new one")
            self._process = os.getpid()
            self._thread = threading.Thread(target=self._run, name="tta kernel", daemon=True)
        atexit.register(self._exit)
        try:
            # Ctrl-C may come before this has returned.
            self._thread.start()
            self._started.result()
        except BaseException:
            # A daemon's thread: whoever ignores cancellation keeps nobody here for longer than this.
            self._exit()
            atexit.unregister(self._exit)
            raise

    def stop(self) -> None:
        """Stop the kernel in order; what it raised while it ran is raised here.

        Raises `KernelError` where it lasts longer than the kernel's ``stop_timeout``; then call it again, to wait
        on. It goes on stopping, too, where Ctrl-C interrupts the wait.
        """
        if self._thread is None:
            return
        self._refuse_elsewhere()
        self.request_stop()
        if not self._ended.wait(self._limit):
            names = [record.name for record in self.kernel.records.values() if record.state == "stopping"]
            stuck = ", ".join(names) or "a call"
            raise KernelError(f"still stopping after {self._limit:g} s: {stuck} ignores cancellation")
        atexit.unregister(self._exit)
        if self.kernel.failure is not None and self._started.exception() is None:
            raise _fresh(self.kernel.failure)

    def request_stop(self) -> None:
        """Let it stop, be it that it still starts, and return at once; `stop` waits for the end."""
        with self._lock:
            self._stop_wanted = True
            if self._schedule is not None:
                self._schedule(self.kernel.stop)

    def call(self, func: Callable[..., Awaitable[R]], *args: Any, timeout: float | None = None, **kwargs: Any) -> R:
        """Await ``func(*args, **kwargs)`` in the kernel's event loop, and return its result.

        After ``timeout`` seconds it is cancelled, and `TimeoutError` raised; Ctrl-C cancels it, too.
        """
        if timeout is not None:
            check_duration("timeout", timeout, positive=True)
        # Made before the call begins, so that Ctrl-C finds it to cancel, whenever it comes.
        future: Future[R] = Future()
        try:
            self._submit(future, _bound(func, *args, **kwargs))
            return future.result(timeout)
        except TimeoutError:
            if future.cancel():
                raise TimeoutError(f"the call took longer than {timeout:g} s") from None
            raise
        finally:
            future.cancel()
            # Its exception's traceback holds this frame, and would hold the future that holds the exception.
            del future

    def submit(self, func: Callable[..., Awaitable[R]], *args: Any, **kwargs: Any) -> Future[R]:
        """Begin ``func(*args, **kwargs)`` in the kernel's event loop; to cancel the future cancels the call."""
        future: Future[R] = Future()
        try:
            self._submit(future, _bound(func, *args, **kwargs))
        except BaseException:
            future.cancel()
            raise
        return future

    def _submit(self, future: Future[R], func: Callable[[], Awaitable[R]]) -> None:
        self._refuse_elsewhere()
        with self._lock:
            if self._schedule is None or not self._started.done():
                raise self._not_running()
            self._futures.add(future)
            self._schedule(partial(self._begin, future, func, copy_context()))

    def stream(self, func: Callable[..., Stream[R]], *args: Any, **kwargs: Any) -> Iterator[R]:
        """Iterate over what ``func(*args, **kwargs)`` streams, an async iterator or a context manager of one.

        It runs in one task from end to end, one piece ahead of its reader. To close the iterator, as the end of a
        generator does, cancels it.
        """
        begin = _bound(func, *args, **kwargs)
        send, receive = anyio.create_memory_object_stream[R](0)

        async def produce() -> None:
            async with send, receive, AsyncExitStack() as stack:
                stream = begin()
                if isinstance(stream, AbstractAsyncContextManager):
                    stream = await stack.enter_async_context(stream)
                elif close := getattr(stream, "aclose", None):
                    stack.push_async_callback(close)
                async for piece in stream:
                    await send.send(piece)

        producer: Future[None] = Future()
        try:
            try:
                self._submit(producer, produce)
            except KernelError:
                send.close()
                receive.close()
                raise
            while True:
                try:
                    piece = self.call(receive.receive)
                except (anyio.EndOfStream, anyio.ClosedResourceError):
                    break
                yield piece
            producer.result()
        finally:
            producer.cancel()

    @property
    def running(self) -> bool:
        """Whether it takes calls."""
        if self.kernel.failure is not None or self._process != os.getpid():
            return False
        return self._schedule is not None and self._started.done()

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more in this process, or has ever run."""
        return self._thread is None or self._ended.is_set() or self._process != os.getpid()

    @property
    def _limit(self) -> float:
        """Seconds within which all stops, but for what ignores cancellation."""
        return self.kernel.wiring.settings.stop_timeout + 2 * GRACE

    def _refuse_elsewhere(self) -> None:
        """Raise where waiting would be for ever."""
        if self._thread is None:
            raise self._not_running()
        if self._process != os.getpid():
            raise KernelError(
                "this process was forked, and the kernel's thread stayed behind in its parent; "
                "make and start a kernel in each child"
            )
        if self._thread is threading.current_thread():
            raise KernelError("this is the kernel's own thread, which would wait for itself; await it instead")

    def _not_running(self) -> KernelError:
        if self._thread is None:
            return KernelError("the kernel is not running; start it first")
        return self._ended_error("the kernel is not running")

    def _ended_error(self, what: str) -> KernelError:
        failure = self.kernel.failure
        if failure is None:
            return KernelError(what)
        exc = KernelError(f"{what}: {_fresh(failure)}")
        exc.__cause__ = failure
        return exc

    def _exit(self) -> None:
        """Stop in order, at the end of the program; a child that was forked has nothing to stop."""
        if self._process == os.getpid():
            self.request_stop()
            self._ended.wait(self._limit)

    def _run(self) -> None:
        try:
            anyio.run(self._live, backend=self._backend, backend_options=self._backend_options)
        except BaseException as exc:  # noqa: BLE001 - a thread has nobody to raise it to: `start` and `stop` do
            failure = ungrouped(exc)
            if not isinstance(failure, Exception):
                failure = KernelError(f"its thread ended with {type(failure).__name__}")
            self.kernel.failure = self.kernel.failure or failure
        finally:
            if not self._started.done():
                stopped = KernelError("the kernel was stopped while it started")
                self._started.set_exception(self.kernel.failure or stopped)
            for future in [*self._futures]:
                self._settle(future, error=self._ended_error("the kernel stopped before the call was done"))
            self._ended.set()

    async def _live(self) -> None:
        async with anyio.create_task_group() as self._calls:
            with self._lock:
                self._schedule = Loop().schedule
                if self._stop_wanted:
                    self.kernel.stop()
            try:
                with LoopWatch(self.kernel):
                    await self.kernel.start()
                    self._started.set_result(None)
                    await self.kernel.wait_stopped()
            finally:
                with self._lock:
                    self._schedule = None
                # A call that still waits would hold up the end for ever.
                self._calls.cancel_scope.cancel()

    def _begin(self, future: Future[R], func: Callable[[], Awaitable[R]], caller: Context) -> None:
        # What comes too late is told so at the end of the thread.
        if self._calls is not None and self._schedule is not None:
            self._calls.start_soon(self._work, future, func, caller, name="tta call")

    async def _work(self, future: Future[R], func: Callable[[], Awaitable[R]], caller: Context) -> None:
        ours = copy_context()
        for variable, value in caller.items():
            # Not what says which event loop is running: the caller's may be another.
            if variable not in ours:
                variable.set(value)
        with anyio.CancelScope() as scope:
            future.add_done_callback(partial(self._cancel, scope))
            try:
                result = await func()
            except BaseException as exc:  # noqa: BLE001 - whoever waits for the future handles it
                group = exc if isinstance(exc, BaseExceptionGroup) else BaseExceptionGroup("", [exc])
                interrupt = group.subgroup(KeyboardInterrupt)
                # An interrupt is the caller's, who stops the kernel in order.
                self._settle(future, error=exc if interrupt else as_failure(exc))
            else:
                self._settle(future, result)

    def _cancel(self, scope: anyio.CancelScope, future: Future[Any]) -> None:
        with self._lock:
            if future.cancelled() and self._schedule is not None:
                self._schedule(scope.cancel)

    def _settle(self, future: Future[Any], result: object = None, *, error: BaseException | None = None) -> None:
        """Hand the outcome over, unless nobody wants it any more."""
        self._futures.discard(future)
        if not future.set_running_or_notify_cancel():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def _bound(func: Callable[..., A], *args: Any, **kwargs: Any) -> Callable[[], A]:
    """Bind a function's arguments, and refuse what it has returned already."""
    if not callable(func):
        what = f"expected a function and its arguments, not a {type(func).__name__}"
        raise TypeError(f"{what}: write `call(f, x)`, and not `call(f(x))`")
    return partial(func, *args, **kwargs)


def _fresh(failure: Exception) -> KernelError:
    """Copy what is raised more than once: each raise would lengthen its traceback, and keep what its frames hold."""
    if isinstance(failure, KernelError):
        fresh = copy(failure)
        fresh.__cause__ = failure.__cause__
    else:
        fresh = KernelError(f"it ended with {type(failure).__name__}")
        fresh.__cause__ = failure
    return fresh
