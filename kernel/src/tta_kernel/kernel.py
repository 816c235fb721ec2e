"""The kernel: wires plugins together, and keeps them alive."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self

import anyio
from anyio.abc import TaskStatus

from . import hookspecs
from .detached import detach, interrupt
from .errors import ConfigError, KernelError, raised_at
from .events import EventBus
from .hookspecs import Health
from .isolation import as_failure, escaped, is_interrupt, ungrouped
from .lifecycle import GRACE, Abandoned, Supervisor
from .plugin import Plugin
from .records import Record, State
from .services import Service, ServiceRegistry, T
from .settings import KernelSettings
from .wiring import HOST, Wiring

log = logging.getLogger("tta.kernel")

Ended = Callable[[Exception | None], object]
"""Told what ended a kernel: None where somebody wanted it."""


class Kernel(anyio.AsyncContextManagerMixin):
    """Plugins, wired together: ``async with Kernel(settings) as kernel:`` runs them.

    `start` and `aclose` do the same for a host that must start in one task and stop in another.

    ``plugins`` are the host's own, by name, in place of what is installed; with ``installed`` they stand beside
    it, and each replaces the installed one of its name. They run unless the settings disable them.
    ``services`` count as provided. ``stopping`` is called as plugins begin to stop, even while others still
    start; ``abandoned`` is told the name and stack of one that ignores cancellation, for which leaving the
    block must wait; ``on_end`` is told that the kernel has ended, and why. ``wiring`` is one that is at hand, in
    place of settings and plugins.
    What is wrong with a required plugin raises `ConfigError` here, with all ``problems`` at once,
    before anything starts.
    """

    def __init__(
        self,
        settings: KernelSettings | None = None,
        *,
        plugins: Mapping[str, type[Plugin[Any]]] | None = None,
        installed: bool = False,
        services: Mapping[Service[Any], object] | None = None,
        stopping: Callable[[], object] = lambda: None,
        abandoned: Abandoned = lambda name, stack: None,
        on_end: Ended = lambda failure: None,
        wiring: Wiring | None = None,
    ) -> None:
        self.events = EventBus()
        self.services = ServiceRegistry()
        given: dict[Service[Any], object] = {KERNEL: self, **(services or {})}
        for key, value in given.items():
            self.services.add(key, value, owner=HOST)
        self.wiring = wiring or Wiring(settings or KernelSettings(), plugins, given, installed=installed)
        self.settings = self.wiring.settings
        self.hooks = self.wiring.hooks
        self.ask = self.hooks.ask
        self.stopping = stopping
        self.abandoned = abandoned
        self.on_end = on_end
        self.failure: Exception | None = None
        """What ended it, unless somebody wanted it to end: a `PluginError`, or what kept it from starting."""
        self._used = False
        self._stop = anyio.Event()
        self._ended = anyio.Event()
        self._task: object = None
        self._settled = anyio.Event()
        """It runs, or it won't: `start` may return."""
        self.changing: anyio.Lock | None = None
        """Held while a new config is taken over; there is none unless the kernel runs."""
        self._interrupted = False
        """A `KeyboardInterrupt` arrived in a plugin, or in what the host is told by: all stops, and then it goes on."""
        self._raise_problems()
        self.secrets = {*self.settings.secrets}
        """What no log may show; a reload may add to it."""

    def _raise_problems(self) -> None:
        if self.wiring.problems:
            raise ConfigError(*self.wiring.problems)

    @property
    def records(self) -> Mapping[str, Record]:
        """Every installed plugin, by its name."""
        return self.wiring.records

    def check(self) -> None:
        """Ask the plugins whether they object to their deployment; raise a `ConfigError` with all they say."""
        self.wiring.check()
        self._raise_problems()

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        self._claim()
        try:
            async with self._run():
                yield self
        finally:
            self._end()
            if self._interrupted:
                raise KeyboardInterrupt from self.failure

    def _claim(self) -> None:
        if self._used:
            raise KernelError("a kernel runs once; make a new one")
        self._used = True

    def _end(self) -> None:
        """Tell everybody who waits for the end."""
        self._tell("on_end", self.failure)
        self._ended.set()

    def _tell(self, what: str, *args: object) -> None:
        """Call the host's own code, which keeps nothing from stopping, whatever it raises."""
        try:
            getattr(self, what)(*args)
        except BaseException as exc:  # noqa: BLE001 - an interrupt goes on when all has stopped
            # Not what it says, which may be a person's text.
            log.error("%s failed: %s at %s", what, type(exc).__name__, raised_at(exc))  # noqa: TRY400
            self._interrupted |= is_interrupt(exc)

    @asynccontextmanager
    async def _run(self) -> AsyncGenerator[None]:
        """Check, start, and stop in order; a required plugin that fails cancels the body."""
        try:
            self.check()
        except Exception as exc:
            self.failure = exc
            raise
        for problem in self.wiring.warnings:
            log.warning("going on without it: %s", problem)
        for note in self.wiring.notes:
            log.warning("%s", note)
        try:
            async with anyio.create_task_group() as tasks:
                supervisor = Supervisor(
                    self.wiring, self.services, self.events, tasks, abandoned=partial(self._tell, "abandoned")
                )
                try:
                    with supervisor.body:
                        await supervisor.start()
                        self.changing = anyio.Lock()
                        yield
                finally:
                    self.changing = None
                    self._tell("stopping")
                    with anyio.CancelScope(shield=True):
                        await supervisor.stop()
                    self.failure = supervisor.failure
                    self._interrupted |= supervisor.interrupted
                if supervisor.failure:
                    raise supervisor.failure
        except BaseExceptionGroup as group:
            alone = ungrouped(group)
            raise alone from alone.__cause__

    async def start(self) -> None:
        """Start in a task that the kernel holds, and return when it runs; what a start raises is raised here.

        `aclose` stops it, from whichever task. A plugin that fails later cancels nobody of the host: `failure`,
        `wait_stopped` and ``on_end`` tell. A start that is cancelled stops what had started, and then ends.
        """
        self._claim()
        self._task = detach(self._run_alone)
        try:
            await self._settled.wait()
        except anyio.get_cancelled_exc_class():
            # Whoever ignores cancellation may last longer than the host should wait; `wait_stopped` tells its end.
            with anyio.move_on_after(self.settings.stop_timeout + 2 * GRACE, shield=True):
                await self.aclose()
            raise
        if self.failure:
            raise self.failure
        if self.changing is None:
            raise KernelError("the kernel was stopped while it started")

    async def aclose(self) -> None:
        """Stop what `start` has started, in order, and return when it has ended; any task may, any number of times.

        A wait that is cancelled leaves the stop going on. What ended the kernel before is not raised: see `failure`.
        """
        if self._task:
            self._stop.set()
            await self._ended.wait()
        elif self._used and not self._ended.is_set():
            raise KernelError("this kernel is run by `async with` or `serve`: leave its block, or `stop` it")

    async def wait_stopped(self) -> Exception | None:
        """Wait until the kernel has ended, and return its `failure`."""
        await self._ended.wait()
        return self.failure

    async def _run_alone(self) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._interrupt, tasks.cancel_scope)
                async with self._run():
                    self._settled.set()
                    await self._stop.wait()
                tasks.cancel_scope.cancel()
        except BaseException as exc:  # noqa: BLE001 - nobody else hears of it; `as_failure` raises what must go on
            if is_interrupt(exc):
                self._interrupted = True
                exc = escaped(exc)
            self.failure = self.failure or as_failure(ungrouped(exc))
        finally:
            self._end()
            self._settled.set()
        if self._interrupted:
            interrupt()

    async def _interrupt(self, scope: anyio.CancelScope) -> None:
        """Cancel a start that nobody wants any more; what runs stops by itself."""
        await self._stop.wait()
        if not self._settled.is_set():
            scope.cancel()

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled or `stop`: ``await tasks.start(kernel.serve)``."""
        async with self:
            task_status.started()
            await self._stop.wait()

    def stop(self) -> None:
        """End `serve`, or what `start` has started, in order."""
        self._stop.set()

    def get(self, key: Service[T]) -> T:
        """Return a service that a running plugin provides; else raise `KernelError`."""
        value = self.services.get(key)
        if value is None:
            holder = self.records.get(self.wiring.providers.get(key, ""))
            why = (
                f"{holder.name!r}, which provides it, is {holder.state}{holder.reason and ': ' + holder.reason}"
                if holder
                else "install one, or import the key from where it is defined"
            )
            raise KernelError(f"no running plugin provides {key}; {why}")
        return value

    async def health(self) -> dict[str, Health]:
        """Say how every enabled plugin is: what it answers, or what its state says."""
        answers = await self.hooks.ask(hookspecs.health)
        found = {}
        for record in self.records.values():
            if record.state in (State.DISABLED, State.YIELDING, State.SKIPPED, State.READY):
                continue
            answer = answers.get(record.name)
            if not record.running:
                answer = Health(
                    "failing" if record.required else "degraded", f"{record.state}: {record.reason}", record.since
                )
            elif isinstance(answer, Exception):
                answer = Health("failing", repr(answer))
            found[record.name] = answer or Health(since=record.since)
        return found


KERNEL = Service[Kernel]("kernel")
"""The kernel itself, for surfaces that show or reload it."""
