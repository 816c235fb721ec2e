"""Running a kernel as a process: signals, reload, and the end of a stop that doesn't end."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import anyio
from anyio.abc import TaskGroup

from tta_kernel import Kernel, KernelError, State
from tta_kernel.errors import raised_at
from tta_kernel.lifecycle import GRACE
from tta_kernel.wiring import Wiring

from . import leaving, logs
from .config import LayeredSettings
from .exits import DONE, NOT_STARTED, WANTING
from .hookspecs import CommandRan, command_ran
from .layers import Source
from .output import unquoted
from .reloading import reload
from .signals import HUP, Signals
from .starts import StartCount
from .watch import LoopWatch

log = logging.getLogger("tta.kernel")


def run(wiring: Wiring, settings: LayeredSettings, options: argparse.Namespace | None = None) -> int:
    """Run until SIGINT or SIGTERM, in order; a second one ends at once. Return the exit code."""
    kernel, watchdog = watched(wiring)
    kept = logs.setup(settings.log_level, settings.log_format, kernel.secrets)
    for problem in settings.uncounted:
        log.warning("failed starts are not counted: %s", problem)
    try:
        with Signals(watchdog.arm) as signals:
            return loop(_run, kernel, settings.source, signals, kept)
    finally:
        watchdog.disarm()


def watched(wiring: Wiring) -> tuple[Kernel, Watchdog]:
    """Return a kernel, and what ends the process when its stop doesn't end."""
    # Whatever makes the plugins stop: a signal, or one that fails, even while others still start.
    kernel = Kernel(
        wiring=wiring,
        stopping=lambda: watchdog.arm(),  # noqa: PLW0108  # the watchdog comes after what it watches
        abandoned=lambda name, stack: watchdog.arm(),
    )
    watchdog = Watchdog(kernel)
    return kernel, watchdog


def loop(func: Callable[..., Awaitable[int]], *args: Any) -> int:
    """Run ``func`` in an event loop, and return its exit code; 1 where somebody else ended the loop."""
    raised: BaseException | None = None

    async def run() -> int:
        nonlocal raised
        try:
            return await func(*args)
        except BaseException as exc:
            raised = exc
            raise

    try:
        return anyio.run(run)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:
        if exc is raised and isinstance(exc, Exception | SystemExit):
            raise
        # A callback that exits, or code that stops the loop or cancels every task: asyncio asks nobody then.
        what = f"{type(exc).__name__} at {raised_at(exc)}"
        log.critical("the event loop was ended, so that nothing could be stopped in order: %s", what, exc_info=exc)
        return WANTING


async def _run(kernel: Kernel, source: Source, signals: Signals, kept: logs.Log) -> int:
    started = False
    problem: KernelError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_obey, kernel, signals, tasks)
        tasks.start_soon(kept.keep)
        tasks.start_soon(signals.keep, [record.found for record in kernel.records.values()])
        try:
            with LoopWatch(kernel), StartCount(kernel) as count:
                async with kernel, count.counting():
                    started = True
                    kept.look()
                    names = ", ".join(record.name for record in kernel.records.values() if record.running)
                    log.info("running, as %s says: %s", source, names or "nothing")
                    await anyio.sleep_forever()
        except KernelError as exc:
            problem = exc  # Raised here, the task group would put a group around it.
        finally:
            tasks.cancel_scope.cancel()
    if problem:
        # What awaits what, where it took too long.
        hang = problem.__cause__ if isinstance(problem.__cause__, TimeoutError) else None
        log.critical("%s, because %s", "stopped" if started else "could not start", problem, exc_info=hang)
        return WANTING if started else NOT_STARTED
    log.info("stopped")
    return DONE


async def _obey(kernel: Kernel, signals: Signals, tasks: TaskGroup) -> None:
    while True:
        await anyio.wait_readable(signals.wake)
        for number in signals.wake.recv(16):
            if number == HUP:
                tasks.start_soon(_reload, kernel)  # Meanwhile a stop must be heard.
            else:
                log.info("stopping after %s", signal.Signals(number).name)
                tasks.cancel_scope.cancel()


async def _reload(kernel: Kernel) -> None:
    outcome: Literal["done", "wanting", "failed"] = "failed"
    try:
        await reload(kernel)
        outcome = "done"
    except KernelError as exc:
        log.error("nothing is reloaded: %s", exc)  # noqa: TRY400 - its text says all
        outcome = "wanting"
    except Exception:
        # Whatever a plugin's code did while it was asked: what runs goes on.
        log.exception("nothing is reloaded")
    if kernel.changing is None:
        return  # It has yet to start, and nobody who keeps records runs.
    ran = CommandRan("config reload", "SIGHUP", outcome)
    for name, answer in (await kernel.ask(command_ran, ran)).items():
        if isinstance(answer, Exception):
            log.error("the reload is not recorded: plugin %r: %s", name, unquoted(answer))


class Watchdog:
    """Ends the process when a stop doesn't end, even if a plugin blocks the event loop."""

    def __init__(self, kernel: Kernel, limit: float | None = None) -> None:
        self._kernel = kernel
        self._limit = limit or kernel.settings.stop_timeout + 2 * GRACE
        self._timer: threading.Timer | None = None

    def arm(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(self._limit, self._end)
            self._timer.daemon = True
            self._timer.start()

    def disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        unsettled = (State.STARTING, State.STOPPING)
        stuck = [record.name for record in self._kernel.records.values() if record.state in unsettled]
        log.critical("abandoned: not stopped within %g s: %s; this is where all threads are", self._limit, stuck)
        logging.shutdown()
        leaving.end()
