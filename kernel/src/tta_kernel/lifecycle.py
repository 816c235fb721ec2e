"""Which plugin starts when, and what happens to it until it has stopped."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import partial

import anyio
from anyio.abc import TaskGroup

from .context import Context
from .errors import KernelError, NotReady, PluginError, overdue
from .events import Event, EventBus
from .isolation import as_failure, describe, escaped, is_interrupt, ungrouped
from .records import Record, State
from .services import ServiceRegistry
from .stacks import stacks
from .wiring import Wiring

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


class _Run:
    """One plugin while the kernel runs.

    It must start within ``limit`` seconds. Once it is ``settled`` (it runs, waits or is out) whoever starts plugins may
    go on; ``stop`` is set when it is to stop. The deadline of ``scope`` moves: to start, none while it runs, to stop.
    """

    def __init__(self, record: Record, start_timeout: float) -> None:
        self.record = record
        self.limit = record.cls.start_timeout or start_timeout
        self.begun = False
        self.abandoned = False
        self.error: PluginError | None = None
        self.settled = anyio.Event()
        self.stop = anyio.Event()
        self.stopped = anyio.Event()
        self.scope: anyio.CancelScope | None = None


class Supervisor:
    """Starts plugins level by level, and stops them in reverse; ``body`` ends with the kernel."""

    def __init__(
        self, wiring: Wiring, services: ServiceRegistry, events: EventBus, tasks: TaskGroup, *, abandoned: Abandoned
    ) -> None:
        self._wiring = wiring
        self._services = services
        self._events = events
        self._tasks = tasks
        self._abandoned = abandoned
        self._runs = {name: _Run(record, wiring.settings.start_timeout) for name, record in wiring.chosen().items()}
        self._stopping = False
        self.failure: PluginError | None = None
        self.interrupted = False
        """A `KeyboardInterrupt` arrived in a plugin."""
        self.body = anyio.CancelScope()

    async def start(self) -> None:
        """Start all plugins; a required one that fails cancels ``body``."""
        for level in self._wiring.levels:
            for name in level:
                self._begin(self._runs[name])
            for name in level:
                run = self._runs[name]
                with anyio.move_on_after(run.limit):
                    await run.settled.wait()
                if not run.settled.is_set():
                    # It was cancelled that moment. One that ignores it is told, and has failed: others must go on.
                    await self._stop(run, 0.0, math.inf)
                    self._fail(run, overdue(f"ignores that it took longer than {run.limit:g} s", run.limit))
                    self._change(run, State.FAILED)
        # Let a crash in the last level be seen before anybody believes that all runs.
        await anyio.lowlevel.checkpoint()

    async def stop(self) -> None:
        """Stop all plugins, dependents first, within one budget; never raises."""
        self._stopping = True
        end = anyio.current_time() + self._wiring.settings.stop_timeout
        for left, level in reversed([*enumerate(self._wiring.levels, 1)]):
            # A level may use all that is left, but for a second (or an equal share) for each that comes after it.
            rest = max(0.0, end - anyio.current_time())
            share = rest - (left - 1) * min(1.0, rest / left)
            async with anyio.create_task_group() as tasks:
                for name in level:
                    tasks.start_soon(self._stop, self._runs[name], share, end)

    async def _stop(self, run: _Run, share: float, end: float) -> None:
        record = run.record
        now = anyio.current_time()
        if record.state is State.WAITING and not run.begun:
            self._change(run, State.STOPPED, "never started")
        if not run.begun or run.stopped.is_set():
            return
        run.stop.set()
        # Its class may ask for more than its level's share, but nobody gets more than is left of the whole.
        limit = max(share, min(record.cls.stop_timeout or 0.0, end - now))
        if run.scope:
            if record.state is State.STARTING:
                run.scope.cancel()  # Its lifespan hasn't come to where it would see that it is to stop.
            run.scope.deadline = min(run.scope.deadline, now + limit)
        with anyio.move_on_after(limit + GRACE):
            await run.stopped.wait()
        if not (run.stopped.is_set() or run.abandoned):
            run.abandoned = True
            where = stacks(f"plugin {record.name}")
            log.critical("plugin %r ignores cancellation; it is at:\n%s", record.name, where)
            self._abandoned(record.name, where)

    def _begin(self, run: _Run) -> None:
        """Start a plugin, unless what it needs is out, or not there yet."""
        record = run.record
        if run.begun or self._stopping:
            return
        needed = [self._runs[name].record for name in sorted(record.needs)]
        failed = [it.name for it in needed if it.state in (State.FAILED, State.STOPPED)]
        waited = [it.name for it in needed if not it.running]
        if failed:
            self._fail(run, PluginError(record.name, f"not started, because {failed[0]!r} failed"))
            self._change(run, State.FAILED)
        elif waited:
            self._change(run, State.WAITING, f"waits for {waited[0]!r}")
        else:
            run.begun = True
            self._tasks.start_soon(self._live, run, name=f"plugin {record.name}")

    async def _live(self, run: _Run) -> None:
        """Take one plugin through its life, in one task from end to end."""
        delay = 0.1
        try:
            while not await self._try(run):
                self._change(run, State.WAITING, f"not ready: {run.record.reason}")
                with anyio.move_on_after(delay):
                    await run.stop.wait()
                    break
                delay = min(delay * 2, 30.0)
        except BaseException as exc:  # noqa: BLE001 - kept as the plugin's reason
            self._fail(run, exc)
        finally:
            # Whatever ended it: what needs it is out before it is itself.
            with anyio.CancelScope(shield=True):
                await self._stop_dependents(run)
            # Cancelled before it ran: that is a stop, and nobody's fault.
            reason = "its start was cancelled" if run.record.state in (State.STARTING, State.WAITING) else ""
            self._change(run, State.FAILED if run.error else State.STOPPED, reason)
            run.stopped.set()

    async def _try(self, run: _Run) -> bool:
        """Run the plugin until it stops; False if it was not ready and should be tried again."""
        record = run.record
        plugin = record.plugin
        assert plugin is not None
        trace = None
        ctx: Context | None = None
        self._change(run, State.STARTING)
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + run.limit) as run.scope:
                async with anyio.create_task_group() as tasks:
                    ctx = Context(
                        record.name,
                        plugin,
                        services=self._services,
                        events=self._events,
                        hooks=self._wiring.hooks,
                        tasks=tasks,
                        crashed=partial(self._crashed, run),
                    )
                    try:
                        async with plugin.lifespan(ctx):
                            # It may have gone on, though its time was over.
                            await anyio.lowlevel.checkpoint_if_cancelled()
                            for key in plugin.provides:
                                if self._services.get(key) is None:
                                    raise PluginError(record.name, f"started without providing {key}")
                            run.scope.deadline = math.inf
                            # A cancelled caller may interrupt a start, but never a stop.
                            run.scope.shield = True
                            self._change(run, State.RUNNING)
                            await run.stop.wait()
                            self._change(run, State.STOPPING)
                            self._services.remove_all(record.name)
                            await ctx._close()
                    except BaseException as exc:  # noqa: BLE001 - it goes on
                        trace = exc.__traceback__
                        # Here, since the task group would drop a cancellation that nobody asked for.
                        raise as_failure(exc)  # noqa: B904 - it has its cause, if it is another
        except Exception as exc:
            reason = ungrouped(exc)
            if not (isinstance(reason, NotReady) and record.state is State.STARTING):
                raise
            if record.vital:
                reason.add_note("it may not wait, because it is required, or something that needs it")
                raise
            record.reason = str(reason)
            return False
        finally:
            # Before another try, and whatever went wrong in this one.
            self._services.remove_all(record.name)
            if ctx is not None:
                ctx._detach()
        starting = record.state is State.STARTING
        if run.scope.cancel_called and not (self._stopping and starting):
            what = f"took longer than {run.limit:g} s" if starting else "its time to stop was over"
            # It hung where it was when it was cancelled.
            raise overdue(what, run.limit).with_traceback(trace)
        if not run.stop.is_set():
            raise KernelError("its lifespan ended by itself")
        return True

    def _dependents(self, run: _Run) -> list[_Run]:
        return [other for other in self._runs.values() if run.record.name in other.record.needs]

    async def _stop_dependents(self, run: _Run) -> None:
        for dependent in self._dependents(run):
            if dependent.begun and not dependent.stopped.is_set():
                await self._take_down(dependent)

    async def _take_down(self, run: _Run) -> None:
        """Stop a plugin while the others run: dependents first, then itself."""
        await self._stop_dependents(run)
        await self._stop(run, self._wiring.settings.stop_timeout, math.inf)

    def _crashed(self, run: _Run, exc: BaseException) -> None:
        """Take down a plugin, a task of which spent its restarts."""
        self._fail(run, exc)
        self._tasks.start_soon(self._take_down, run)

    def _fail(self, run: _Run, exc: BaseException) -> None:
        """Remember the first thing that went wrong, and what the plugin was doing; one that is required ends all.

        So does `KeyboardInterrupt`, and a cancellation of ours is raised.
        """
        if is_interrupt(exc):
            self.interrupted = True
            self.body.cancel()
            exc = escaped(exc)
        exc = as_failure(ungrouped(exc))
        if run.error is not None:
            return
        record = run.record
        # What ends the start is raised, and told by whoever wanted it.
        told = record.vital and record.state is State.STARTING and not (self._stopping or self.failure)
        if isinstance(exc, PluginError) and exc.plugin == record.name:
            run.error = exc
        else:
            notes = "".join(f" ({note})" for note in getattr(exc, "__notes__", ()))
            what = exc if isinstance(exc, KernelError) else describe(exc, record.cls.__module__)
            run.error = PluginError(record.name, f"failed while {record.state}: {what}{notes}")
            run.error.__cause__ = exc
        if (record.vital or self.interrupted) and not self._stopping:
            self.failure = self.failure or run.error
            self.body.cancel()
        log.log(logging.DEBUG if told else logging.ERROR, "%s", run.error, exc_info=run.error.__cause__)

    def _change(self, run: _Run, state: State, reason: str = "") -> None:
        record = run.record
        record.change_to(state, run.error.reason if run.error else reason)
        self._events.publish(PluginStateChanged(plugin=record.name, state=state, reason=record.reason), source="kernel")
        log.debug("plugin %r is %s", record.name, state)
        if state in (State.STARTING, State.STOPPING):
            return
        run.settled.set()
        if state is not State.WAITING:
            for dependent in self._dependents(run):
                if dependent.record.state is State.WAITING:
                    self._begin(dependent)
