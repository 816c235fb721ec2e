"""What a running plugin sees of the kernel."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import msgspec
from anyio.abc import TaskGroup

from .errors import PluginError
from .events import E, Event, EventBus, Subscription, correlation_id
from .hooks import Hooks
from .isolation import as_failure
from .services import Declares, Service, ServiceRegistry, T
from .units import check_count, check_duration

Crashed = Callable[[BaseException], None]
"""Told what a task raised that has spent its restarts, or that ends the program; raises a cancellation of ours."""


class Restart(msgspec.Struct, frozen=True):
    """How often a task of a plugin may crash: ``times`` within ``within`` seconds."""

    times: int = 3
    within: float = 60.0

    def __post_init__(self) -> None:
        check_count("times", self.times, least=0)
        check_duration("within", self.within, positive=True)


RESTART = Restart()


class Context:
    """What a running plugin sees of the kernel."""

    def __init__(
        self,
        name: str,
        declared: Declares,
        *,
        services: ServiceRegistry,
        events: EventBus,
        hooks: Hooks,
        tasks: TaskGroup,
        crashed: Crashed,
    ) -> None:
        self.name = name
        self.log = logging.getLogger(f"tta.{name}")
        self.ask = hooks.ask
        """Ask an async hook: ``await ctx.ask(spec, …)`` is ``{plugin: answer or error}``."""
        self.collect = hooks.collect
        """Call a plain hook: ``ctx.collect(spec, …)`` is ``{plugin: answer or error}``."""
        self._declared = declared
        self._services = services
        self._events = events
        self._tasks = tasks
        self._crashed = crashed
        self._running: dict[anyio.CancelScope, str] = {}
        self._subscriptions: list[Subscription[Any]] = []
        self._closed = False
        self._idle = anyio.Event()

    def provide(self, key: Service[T], value: T) -> None:
        """Offer a service listed in ``provides`` to the plugins that start later."""
        if key not in self._declared.provides:
            raise PluginError(self.name, f"offers {key} without listing it in `provides`")
        self._services.add(key, value, owner=self.name)

    def get(self, key: Service[T]) -> T:
        """Return a service listed in ``requires``."""
        value = self._services.get(key)
        if value is None or key not in self._declared.requires:
            raise PluginError(self.name, f"asks for {key} without listing it in `requires`")
        return value

    def find(self, key: Service[T]) -> T | None:
        """Return a service listed in ``after``, or None where no running plugin provides it."""
        if key not in self._declared.after + self._declared.requires:
            raise PluginError(self.name, f"looks for {key} without listing it in `after`")
        return self._services.get(key)

    def publish(self, event: Event) -> None:
        """Tell whoever listens that something has happened; never blocks, never fails."""
        self._events.publish(event, source=self.name)

    def on(self, event: type[E], handler: Callable[[E], Awaitable[None]], *, buffer: int = 256) -> None:
        """Call ``handler`` with every such event, from the next line on, until the plugin stops."""
        if self._closed:
            raise PluginError(self.name, f"listens to {event.__name__} while it stops")
        subscription = self._events.attach(event, buffer=buffer, owner=self.name)
        self._subscriptions.append(subscription)
        self.start_soon(self._handle, subscription, handler)

    async def _handle(self, subscription: Subscription[E], handler: Callable[[E], Awaitable[None]]) -> None:
        buffer = subscription.buffer
        while await subscription.filled():
            while buffer:  # `async for` would cost a coroutine each
                event = buffer.popleft()
                if event.correlation_id != correlation_id.get():
                    correlation_id.set(event.correlation_id)
                try:
                    await handler(event)
                except BaseException as exc:
                    self.log.error("handler of %s raised", type(event).__name__, exc_info=as_failure(exc))  # noqa: TRY400
                    subscription.failed += 1

    def start_soon(self, func: Callable[..., Awaitable[None]], *args: object, restart: Restart = RESTART) -> None:
        """Keep ``func`` running until the plugin stops; restart it, ever later, when it crashes.

        When ``restart`` is spent, the plugin stops and has failed.
        """
        if self._closed:
            raise PluginError(self.name, "starts a task while it stops")
        scope = anyio.CancelScope()
        self._running[scope] = name = getattr(func, "__name__", repr(func))
        self._tasks.start_soon(self._run, scope, func, args, restart, name=f"plugin {self.name}: {name}")

    async def _run(
        self, scope: anyio.CancelScope, func: Callable[..., Awaitable[None]], args: tuple[object, ...], restart: Restart
    ) -> None:
        crashes: deque[float] = deque(maxlen=restart.times + 1)
        name = self._running[scope]
        try:
            with scope:
                while True:
                    try:
                        return await func(*args)
                    except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
                        failure = as_failure(exc)
                    crashes.append(anyio.current_time())
                    recent = sum(crashes[-1] - at <= restart.within for at in crashes)
                    if recent > restart.times:
                        failure.add_note(f"task {name!r} crashed {recent} times")
                        return self._crashed(failure)
                    self.log.warning("task %s crashed, restart %d of %d", name, recent, restart.times, exc_info=failure)
                    await anyio.sleep(min(0.05 * 2**recent, 10.0))
        except BaseException as exc:  # noqa: BLE001 - a cancellation of ours is raised again
            # asyncio would let an interrupt out of the event loop, past everybody who has something to close.
            self._crashed(exc)
        finally:
            del self._running[scope]
            if self._closed and not self._running:
                self._idle.set()

    def _detach(self) -> None:
        """Let nothing new begin, and end the subscriptions."""
        self._closed = True
        for subscription in self._subscriptions:
            self._events.detach(subscription)

    async def _close(self) -> None:
        """Cancel the plugin's tasks and wait for their end."""
        self._detach()
        for scope in self._running:
            scope.cancel()
        if self._running:
            await self._idle.wait()
