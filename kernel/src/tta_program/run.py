"""Running a kernel as a process: signals, reload, and the end of a stop that doesn't end."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from anyio.abc import TaskGroup

from tta_kernel import Kernel, KernelError, State
from tta_kernel.lifecycle import GRACE
from tta_kernel.wiring import Wiring

from . import logs
from .config import LayeredSettings
from .exits import ABANDONED, DONE, NOT_STARTED, WANTING
from .layers import Source
from .reloading import reload
from .watch import LoopWatch

_HUP: int | None = getattr(signal, "SIGHUP", None)
"""None on Windows, which has no such signal."""
log = logging.getLogger("tta.kernel")


def run(wiring: Wiring, settings: LayeredSettings, options: argparse.Namespace | None = None) -> int:
    """Run until SIGINT or SIGTERM, in order; a second one ends at once. Return the exit code."""
    # Whatever makes the plugins stop: a signal, or one that fails, even while others still start.
    kernel = Kernel(
        wiring=wiring,
        stopping=lambda: watchdog.arm(),  # noqa: PLW0108  # the watchdog comes after what it watches
        abandoned=lambda name, stack: watchdog.arm(),
    )
    watchdog = Watchdog(kernel)
    logs.setup(settings.log_level, settings.log_format, kernel.secrets)
    with _signals(watchdog) as wake:
        return anyio.run(_run, kernel, settings.source, watchdog, wake)


async def _run(kernel: Kernel, source: Source, watchdog: Watchdog, wake: socket.socket) -> int:
    started = False
    problem: KernelError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_obey, kernel, wake, tasks)
        try:
            with LoopWatch(kernel):
                async with kernel:
                    started = True
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


async def _obey(kernel: Kernel, wake: socket.socket, tasks: TaskGroup) -> None:
    while True:
        await anyio.wait_readable(wake)
        for number in wake.recv(16):
            if number == _HUP:
                tasks.start_soon(_reload, kernel)  # Meanwhile a stop must be heard.
            else:
                log.info("stopping after %s", signal.Signals(number).name)
                tasks.cancel_scope.cancel()


async def _reload(kernel: Kernel) -> None:
    try:
        await reload(kernel)
    except KernelError as exc:
        log.error("nothing is reloaded: %s", exc)  # noqa: TRY400 - its text says all
    except Exception:
        # Whatever a plugin's code did while it was asked: what runs goes on.
        log.exception("nothing is reloaded")


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
        faulthandler.dump_traceback(2, all_threads=True)
        logging.shutdown()
        os._exit(ABANDONED)


@contextmanager
def _signals(watchdog: Watchdog) -> Iterator[socket.socket]:
    """Deliver signals as bytes on a socket: a handler of Python's runs even if the loop is busy."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)  # noqa: FBT003
    seen: list[int] = []

    def handle(number: int, frame: object) -> None:
        if number != _HUP:
            if seen:  # A second one: whoever sends it won't wait for order.
                os._exit(128 + number)
            seen.append(number)
            watchdog.arm()
        writer.send(bytes([number]))

    numbers = [number for number in (signal.SIGINT, signal.SIGTERM, _HUP) if number is not None]
    old = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield reader
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()
