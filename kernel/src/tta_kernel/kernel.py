"""The kernel: wires plugins together, and keeps them alive."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

import anyio
from anyio.abc import TaskStatus

from . import hookspecs
from .config import KernelSettings
from .errors import ConfigError, KernelError
from .events import EventBus
from .hookspecs import Health
from .lifecycle import Abandoned, Supervisor, unwrap
from .plugin import Plugin
from .reload import Reloaded, load_again, reload
from .services import Service, ServiceRegistry, T
from .wiring import EMBEDDER, Record, State, Wiring

log = logging.getLogger("tta.kernel")


class Kernel(anyio.AsyncContextManagerMixin):
    """Plugins, wired together: ``async with Kernel(settings) as kernel:`` runs them.

    ``plugins`` replaces what is installed; ``services`` count as provided; ``abandoned`` is told the
    name and stack of a plugin that ignores cancellation, for which leaving the block must wait.
    What is wrong with a required plugin raises `ConfigError` here, with all ``problems`` at once,
    before anything starts.
    """

    def __init__(
        self,
        settings: KernelSettings | None = None,
        *,
        plugins: Mapping[str, type[Plugin[Any]]] | None = None,
        services: Mapping[Service[Any], object] | None = None,
        abandoned: Abandoned = lambda name, stack: None,
    ) -> None:
        self.settings = settings or KernelSettings()
        self.events = EventBus()
        self.services = ServiceRegistry()
        self.services.add(KERNEL, self, owner=EMBEDDER)
        for key, value in (services or {}).items():
            self.services.add(key, value, owner=EMBEDDER)
        self.wiring = Wiring(self.settings, plugins, tuple(self.services))
        self.hooks = self.wiring.hooks
        self.ask = self.hooks.ask
        self._abandoned = abandoned
        self._used = False
        self._stop: anyio.Event | None = None
        self._raise_problems()

    def _raise_problems(self) -> None:
        if problems := self.wiring.problems:
            raise ConfigError(*problems)

    @property
    def records(self) -> Mapping[str, Record]:
        """Every installed plugin, by its name."""
        return self.wiring.records

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        if self._used:
            raise KernelError("a kernel runs once; make a new one")
        self._used = True
        self.wiring.check()
        self._raise_problems()
        for problem in self.wiring.warnings:
            log.warning("going on without it: %s", problem)
        try:
            async with anyio.create_task_group() as tasks:
                supervisor = Supervisor(self.wiring, self.services, self.events, self.hooks, tasks, self._abandoned)
                try:
                    with supervisor.body:
                        await supervisor.start()
                        yield self
                finally:
                    with anyio.CancelScope(shield=True):
                        await supervisor.stop()
                if supervisor.failure:
                    raise supervisor.failure
        except BaseExceptionGroup as group:
            if (exc := unwrap(group)) is group:
                raise
            raise exc from exc.__cause__

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled or `stop`: ``await tasks.start(kernel.serve)``."""
        self._stop = self._stop or anyio.Event()
        async with self:
            task_status.started()
            await self._stop.wait()

    def stop(self) -> None:
        """End `serve`, in order."""
        self._stop = self._stop or anyio.Event()
        self._stop.set()

    def get(self, key: Service[T]) -> T:
        """Return a service that a running plugin provides; else raise `KernelError`."""
        value = self.services.get(key)
        if value is None:
            holder = self.records.get(self.wiring.providers.get(key, ""))
            why = f"{holder.name!r}, which provides it, is {holder.state}" if holder else "install one"
            raise KernelError(f"no running plugin provides {key}; {why}")
        return value

    async def health(self) -> dict[str, Health]:
        """Say how every enabled plugin is: what it answers, or what its state says."""
        answers = await self.hooks.ask(hookspecs.health)
        found = {}
        for record in self.records.values():
            if record.state in (State.DISABLED, State.YIELDING, State.READY):
                continue
            answer = answers.get(record.name)
            if record.state is not State.RUNNING:
                answer = Health(
                    "failing" if record.required else "degraded", f"{record.state}: {record.reason}", record.since
                )
            elif isinstance(answer, Exception):
                answer = Health("failing", repr(answer), None)
            found[record.name] = answer or Health(since=record.since)
        return found

    async def reload(self, settings: KernelSettings | None = None) -> Reloaded:
        """Take a new config over, in two phases: everybody agrees, or nothing changes.

        Without ``settings`` the files are read again. Raises `ConfigError` with every objection.
        """
        new = settings or load_again(self.settings)
        report = await reload(self.wiring, new)
        self.settings = self.wiring.settings = new
        return report


KERNEL = Service[Kernel]("kernel")
"""The kernel itself, for surfaces that show or reload it."""
