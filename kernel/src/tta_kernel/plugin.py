"""The contract between the kernel and a plugin."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, get_args, get_origin

import anyio
import msgspec
from anyio.abc import TaskGroup

from .errors import PluginError
from .events import E, Event, Subscription, correlation_id
from .services import Service, T

if TYPE_CHECKING:
    from .kernel import Kernel

ConfigT = TypeVar("ConfigT", bound=msgspec.Struct)


class NoConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For plugins with nothing to configure."""


class Restart(msgspec.Struct, frozen=True):
    """How often a task of a plugin may crash: ``times`` within ``within`` seconds."""

    times: int = 3
    within: float = 60.0


_RESTART = Restart()


class Plugin(Generic[ConfigT]):
    """Subclass this, and point an entry point of the group ``tta.plugins`` at the class.

    Constructing it has no effects: what it does, it does in `lifespan`.
    """

    provides: ClassVar[tuple[Service[Any], ...]] = ()
    requires: ClassVar[tuple[Service[Any], ...]] = ()
    after: ClassVar[tuple[Service[Any], ...]] = ()
    """Services to start after, where anybody provides them."""
    hookspecs: ClassVar[ModuleType | None] = None
    fallback: ClassVar[bool] = False
    """Yield to any other enabled provider of the one service that it provides."""
    autoload: ClassVar[bool] = True
    """False where it needs a server, an address or a secret: then it runs only where config names it."""
    surface: ClassVar[bool] = False
    """Start last and stop first."""
    start_timeout: ClassVar[float | None] = None
    stop_timeout: ClassVar[float | None] = None
    config_type: ClassVar[type[msgspec.Struct]] = NoConfig

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__orig_bases__" in cls.__dict__:
            found = _config_type(cls, cls.__parameters__)  # type: ignore[attr-defined]
            if isinstance(found, type) and issubclass(found, msgspec.Struct):
                cls.config_type = found

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """Start before the ``yield``, stop after it, in one task from end to end."""
        yield

    async def prepare(self, config: ConfigT) -> Callable[[], None]:
        """Agree to a new config, or raise `ConfigError` or ValueError; change nothing yet.

        The returned function takes the config over and can't fail. A plugin that doesn't override
        this needs a restart for a new config.
        """
        raise AssertionError("the kernel asks only plugins that override this")


def _config_type(cls: Any, args: Sequence[Any]) -> Any:
    """Return what ``Plugin``'s parameter is for ``cls[args]``, through generic classes between."""
    if cls is Plugin:
        return args[0]
    known = dict(zip(cls.__parameters__, args, strict=False))
    for base in cls.__orig_bases__:
        origin = get_origin(base)
        if isinstance(origin, type) and issubclass(origin, Plugin):
            return _config_type(origin, [known.get(arg, arg) for arg in get_args(base)])
    return None


class Context:
    """What a running plugin sees of the kernel."""

    def __init__(
        self, name: str, kernel: Kernel, plugin: Plugin[Any], tasks: TaskGroup, crashed: Callable[[Exception], None]
    ) -> None:
        self.name, self.log = name, logging.getLogger(f"tta.{name}")
        self.ask = kernel.hooks.ask
        """Ask a hook: ``await ctx.ask(spec, …)`` is ``{plugin: answer or error}``."""
        self._services, self._bus = kernel.services, kernel.events
        self._plugin, self._tasks, self._crashed = plugin, tasks, crashed
        self._running: dict[anyio.CancelScope, str] = {}
        self._subscriptions: list[Subscription[Any]] = []
        self._closed = False
        self._idle = anyio.Event()

    def provide(self, key: Service[T], value: T) -> None:
        """Offer a service listed in ``provides`` to the plugins that start later."""
        if key not in self._plugin.provides:
            raise PluginError(self.name, f"offers {key} without listing it in `provides`")
        self._services.add(key, value, owner=self.name)

    def get(self, key: Service[T]) -> T:
        """Return a service listed in ``requires``."""
        value = self._services.get(key)
        if value is None or key not in self._plugin.requires:
            raise PluginError(self.name, f"asks for {key} without listing it in `requires`")
        return value

    def find(self, key: Service[T]) -> T | None:
        """Return a service listed in ``after``, or None where no running plugin provides it."""
        if key not in (*self._plugin.after, *self._plugin.requires):
            raise PluginError(self.name, f"looks for {key} without listing it in `after`")
        return self._services.get(key)

    def publish(self, event: Event) -> None:
        """Tell whoever listens that something has happened; never blocks, never fails."""
        self._bus.publish(event, source=self.name)

    def on(self, event: type[E], handler: Callable[[E], Awaitable[None]], *, buffer: int = 256) -> None:
        """Call ``handler`` with every such event, from the next line on, until the plugin stops."""
        if self._closed:
            raise PluginError(self.name, f"listens to {event.__name__} while it stops")
        subscription = self._bus.attach(event, buffer=buffer, owner=self.name)
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
                except Exception:
                    subscription.failed += 1
                    self.log.exception("handler of %s raised", type(event).__name__)

    def start_soon(self, func: Callable[..., Awaitable[None]], *args: object, restart: Restart = _RESTART) -> None:
        """Keep ``func`` running until the plugin stops; restart it, ever later, when it crashes.

        When ``restart`` is spent, the plugin stops and has failed.
        """
        if self._closed:
            raise PluginError(self.name, "starts a task while it stops")
        scope, name = anyio.CancelScope(), getattr(func, "__name__", repr(func))
        self._running[scope] = name
        self._tasks.start_soon(self._keep, scope, func, args, restart, name=f"plugin {self.name}: {name}")

    async def _keep(
        self, scope: anyio.CancelScope, func: Callable[..., Awaitable[None]], args: tuple[object, ...], restart: Restart
    ) -> None:
        crashes: deque[float] = deque(maxlen=restart.times + 1)
        name, message = self._running[scope], "task %s crashed, restart %d of %d"
        try:
            with scope:
                while True:
                    try:
                        return await func(*args)
                    except Exception as exc:
                        crashes.append(anyio.current_time())
                        recent = sum(crashes[-1] - at <= restart.within for at in crashes)
                        if recent > restart.times:
                            exc.add_note(f"task {name!r} crashed {recent} times")
                            return self._crashed(exc)
                        self.log.warning(message, name, recent, restart.times, exc_info=True)
                        await anyio.sleep(min(0.05 * 2**recent, 10.0))
        finally:
            del self._running[scope]
            if self._closed and not self._running:
                self._idle.set()

    def _detach(self) -> None:
        self._closed = True
        for subscription in self._subscriptions:
            self._bus.detach(subscription)

    async def _close(self) -> None:
        """Cancel the plugin's tasks and wait for their end."""
        self._detach()
        for scope in self._running:
            scope.cancel()
        if self._running:
            await self._idle.wait()
