"""Which plugin starts when, and what happens to it until it has stopped."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator

import anyio
from anyio.abc import TaskGroup

from .errors import NotReady, PluginError
from .events import Event, EventBus
from .hooks import Hooks
from .plugin import Context
from .services import ServiceRegistry
from .stacks import stacks
from .wiring import Record, State, Wiring

log = logging.getLogger("tta.kernel")
GRACE = 1.0
"""Seconds past its time to stop after which a plugin counts as ignoring cancellation."""

Abandoned = Callable[[str, str], None]
"""Told the name and the stacks of a plugin that ignores cancellation."""


class PluginStateChanged(Event, frozen=True, tag="kernel.plugin-state-changed"):
    """A plugin started, stopped, waits or failed."""

    plugin: str
    state: str
    reason: str = ""


def unwrap(exc: BaseException) -> BaseException:
    """Return an error that has no siblings without the groups that task groups put around it."""
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    return exc


class _Run:
    """One plugin while the kernel runs."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.begun = self.abandoned = self.urgent = False
        self.error: PluginError | None = None
        self.settled = anyio.Event()  # Running, waiting or out.
        self.stop = anyio.Event()
        self.stopped = anyio.Event()
        self.scope: anyio.CancelScope | None = None


class Supervisor:
    """Starts plugins level by level, and stops them in reverse; ``body`` ends with the kernel."""

    def __init__(
        self,
        wiring: Wiring,
        services: ServiceRegistry,
        bus: EventBus,
        hooks: Hooks,
        tasks: TaskGroup,
        abandoned: Abandoned,
    ) -> None:
        self._settings, self._levels = wiring.settings, wiring.levels
        self._services, self._bus, self._hooks = services, bus, hooks
        self._tasks, self._abandoned = tasks, abandoned
        self._runs = {n: _Run(wiring.records[n]) for level in wiring.levels for n in level}
        self._stopping = False
        self.failure: PluginError | None = None
        self.body = anyio.CancelScope()

    async def start(self) -> None:
        """Start all plugins; a required one that fails cancels ``body``."""
        for level in self._levels:
            for name in level:
                self._begin(self._runs[name])
            for name in level:
                await self._runs[name].settled.wait()
        # Let a crash in the last level be seen before anybody believes that all runs.
        await anyio.lowlevel.checkpoint()

    async def stop(self) -> None:
        """Stop all plugins, dependents first, within one budget; never raises."""
        self._stopping = True
        end = anyio.current_time() + self._settings.stop_timeout
        for left, level in zip(range(len(self._levels), 0, -1), reversed(self._levels), strict=True):
            # A level may use what the ones before it left over, and never what others need.
            share = max(0.0, end - anyio.current_time()) / left
            async with anyio.create_task_group() as tasks:
                for name in level:
                    tasks.start_soon(self._stop, self._runs[name], share, end)

    async def _stop(self, run: _Run, share: float, end: float) -> None:
        if run.record.state is State.WAITING and not run.begun:
            self._to(run, State.STOPPED, "never started")
        if not run.begun or run.stopped.is_set():
            return
        run.stop.set()
        plugin = run.record.plugin
        assert plugin is not None
        limit = max(share, min(plugin.stop_timeout or 0.0, end - anyio.current_time()))
        if run.scope is not None:
            if run.record.state is State.STARTING:
                run.scope.cancel()
            run.scope.deadline = min(run.scope.deadline, anyio.current_time() + limit)
        with anyio.move_on_after(limit + GRACE):
            await run.stopped.wait()
            return
        if run.abandoned:
            return
        run.abandoned = True
        where = stacks(f"plugin {run.record.name}")
        log.critical("plugin %r ignores cancellation; it is at:\n%s", run.record.name, where)
        self._abandoned(run.record.name, where)

    def _begin(self, run: _Run) -> None:
        record = run.record
        blockers = {n: self._runs[n].record.state for n in record.needs}
        if run.begun or self._stopping:
            return
        if failed := sorted(n for n, s in blockers.items() if s in (State.FAILED, State.STOPPED)):
            self._fail(run, PluginError(record.name, f"not started, because {failed[0]!r} failed"))
            self._to(run, State.FAILED)
            self._begin_waiting(run)
        elif waited := sorted(n for n, s in blockers.items() if s is not State.RUNNING):
            self._to(run, State.WAITING, f"waits for {waited[0]!r}")
            run.settled.set()
        else:
            run.begun = True
            self._tasks.start_soon(self._live, run, name=f"plugin {record.name}")

    def _begin_waiting(self, run: _Run) -> None:
        for dependent in self._dependents(run):
            if dependent.record.state is State.WAITING:
                self._begin(dependent)

    async def _live(self, run: _Run) -> None:
        """Take one plugin through its life, in one task from end to end."""
        delay = 0.1
        try:
            while not await self._try(run):
                self._to(run, State.WAITING, f"not ready: {run.record.reason}")
                run.settled.set()
                with anyio.move_on_after(delay):
                    await run.stop.wait()
                    break
                delay = min(delay * 2, 30.0)
        except Exception as exc:  # noqa: BLE001 - kept as the plugin's reason
            self._fail(run, exc)
            if run.urgent:
                self.failure = self.failure or run.error
                self.body.cancel()
        finally:
            # Cancelled before it ran: that is a stop, and nobody's fault.
            self._services.remove_all(run.record.name)
            with anyio.CancelScope(shield=True):
                await self._stop_dependents(run)
            state = State.FAILED if run.error else State.STOPPED
            cancelled = run.record.state in (State.STARTING, State.WAITING) and not run.error
            self._to(run, state, "its start was cancelled" if cancelled else "")
            run.stopped.set()
            self._begin_waiting(run)

    async def _try(self, run: _Run) -> bool:
        """Run the plugin until it stops; False if it was not ready and should be tried again."""
        record = run.record
        plugin = record.plugin
        assert plugin is not None
        limit = plugin.start_timeout or self._settings.start_timeout
        ctx: Context | None = None
        self._to(run, State.STARTING)
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + limit) as run.scope:
                async with anyio.create_task_group() as tasks:
                    ctx = Context(
                        record.name,
                        plugin,
                        self._services,
                        self._bus,
                        self._hooks,
                        tasks,
                        lambda exc: self._crashed(run, exc),
                    )
                    async with plugin.lifespan(ctx):
                        lacking = [k for k in plugin.provides if k not in self._services]
                        if lacking:
                            raise PluginError(record.name, f"started without providing {lacking[0]}")
                        # A cancelled caller may interrupt a start, but never a stop.
                        run.scope.deadline, run.scope.shield = math.inf, True
                        self._to(run, State.RUNNING)
                        run.settled.set()
                        self._begin_waiting(run)
                        await run.stop.wait()
                        self._to(run, State.STOPPING)
                        self._services.remove_all(record.name)
                        await ctx._close()
        except Exception as exc:
            reason = unwrap(exc)
            if isinstance(reason, NotReady) and record.state is State.STARTING:
                if not (needing := self._needing(run)):
                    record.reason = str(reason)
                    return False
                run.urgent = True
                reason.add_note(f"it may not wait, because {needing!r} is required")
            raise
        finally:
            # Before another try, and whatever went wrong in this one.
            self._services.remove_all(record.name)
            if ctx is not None:
                ctx._detach()
        if run.scope.cancel_called and not (self._stopping and record.state is State.STARTING):
            raise TimeoutError(
                f"took longer than {limit:g} s" if record.state is State.STARTING else "its time to stop was over"
            )
        if not run.stop.is_set():
            raise RuntimeError("its lifespan ended by itself")
        return True

    def _needing(self, run: _Run) -> str:
        """Name a required plugin that can't do without this one, or nothing."""
        if run.record.required:
            return run.record.name
        return next(filter(None, (self._needing(d) for d in self._dependents(run))), "")

    def _dependents(self, run: _Run) -> Iterator[_Run]:
        return (other for other in self._runs.values() if run.record.name in other.record.needs)

    async def _stop_dependents(self, run: _Run) -> None:
        """Stop what needs a plugin that is going; one of them that is required ends the kernel."""
        end = anyio.current_time() + self._settings.stop_timeout
        for dependent in self._dependents(run):
            if not dependent.begun or dependent.stopped.is_set():
                continue
            if run.error:
                why = PluginError(dependent.record.name, f"stopped, because {run.record.name!r} failed")
                self._end_if_required(dependent.record, why)
            await self._stop_dependents(dependent)
            await self._stop(dependent, self._settings.stop_timeout, end)

    def _crashed(self, run: _Run, exc: Exception) -> None:
        """Stop a plugin, a task of which spent its restarts: dependents first, then itself."""
        self._fail(run, exc)

        async def stop() -> None:
            await self._stop_dependents(run)
            await self._stop(run, self._settings.stop_timeout, math.inf)

        self._tasks.start_soon(stop)

    def _fail(self, run: _Run, exc: BaseException) -> None:
        """Remember the first thing that went wrong, and what the plugin was doing."""
        record, exc = run.record, unwrap(exc)
        if run.error is None:
            if isinstance(exc, PluginError) and exc.plugin == record.name:
                run.error = exc
            else:
                notes = "".join(f" ({note})" for note in getattr(exc, "__notes__", ()))
                run.error = PluginError(record.name, f"failed while {record.state}: {exc!r}{notes}")
                run.error.__cause__ = exc
            log.error("%s", run.error, exc_info=exc if run.error is not exc else None)
            self._end_if_required(record, run.error)

    def _end_if_required(self, record: Record, error: PluginError) -> None:
        if record.required and not self._stopping:
            self.failure = self.failure or error
            self.body.cancel()

    def _to(self, run: _Run, state: State, reason: str = "") -> None:
        run.record.to(state, run.error.reason if run.error else reason)
        if state not in (State.STARTING, State.RUNNING, State.STOPPING):
            run.settled.set()
        self._bus.publish(
            PluginStateChanged(plugin=run.record.name, state=state, reason=run.record.reason), source="kernel"
        )
        log.debug("plugin %r is %s", run.record.name, state)
