"""Events, and the bus that carries them inside one process."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from time import time
from typing import Any, Generic, TypeVar

import anyio
import msgspec

from .units import check_count

correlation_id: ContextVar[str] = ContextVar("correlation_id", default="")
"""What the running task works for; it travels with events, log lines and whatever plugins send."""

E = TypeVar("E", bound="Event")
_stamp = msgspec.structs.force_setattr  # Events are frozen for everybody else.


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that has happened: named in the past tense, never a command.

    A subclass gives a tag that says owner and name (``tag="clock.hour-struck"``). ``source`` (the
    plugin), ``at`` (seconds since the epoch) and ``correlation_id`` are stamped on publishing.
    """

    source: str = ""
    at: float = 0.0
    correlation_id: str = ""


class Subscription(Generic[E]):
    """The bounded buffer between the bus and one reader: ``async for event in subscription``.

    When it is full the *oldest* event goes and ``dropped`` counts it; ``failed`` counts the events
    whose handler raised.
    """

    def __init__(self, types: tuple[type[E], ...], buffer: int, owner: str) -> None:
        self.types = types
        self.owner = owner
        self.dropped = 0
        self.failed = 0
        self.buffer: deque[E] = deque(maxlen=buffer)
        self._wake: anyio.Event | None = None
        self._closed = False

    def __aiter__(self) -> AsyncIterator[E]:
        return self

    async def __anext__(self) -> E:
        if self.buffer or await self.filled():
            return self.buffer.popleft()
        raise StopAsyncIteration

    async def filled(self) -> bool:
        """Wait until there is something in ``buffer``; False if nothing will come any more."""
        while not (self.buffer or self._closed):
            # One wake-up per change from empty to filled, not one per event.
            self._wake = self._wake or anyio.Event()
            await self._wake.wait()
        return bool(self.buffer)

    def close(self) -> None:
        """Let the reader have what is buffered, then end its iteration."""
        self._closed = True
        if self._wake:
            self._wake.set()
            self._wake = None


class EventBus:
    """Carries events from whoever publishes to whoever has subscribed; never waits, never fails."""

    def __init__(self) -> None:
        self.subscriptions: tuple[Subscription[Any], ...] = ()
        self._routes: dict[type[Event], tuple[Subscription[Any], ...]] = {}
        """Who gets events of exactly this type; found once, and again when somebody comes or goes."""

    def publish(self, event: Event, *, source: str = "") -> None:
        """Stamp ``event`` and hand it to every matching subscription; one published before is copied first."""
        kind = type(event)
        routes = self._routes.get(kind)
        if routes is None:
            if not issubclass(kind, Event):
                raise TypeError(f"a {kind.__name__} is no Event")
            routes = self._routes[kind] = tuple(s for s in self.subscriptions if issubclass(kind, s.types))
        if not routes:
            return
        if event.at:
            event = copy(event)  # It may lie in somebody's buffer, stamped.
        _stamp(event, "source", source)
        _stamp(event, "at", time())
        if not event.correlation_id and (correlation := correlation_id.get()):
            _stamp(event, "correlation_id", correlation)
        for subscription in routes:
            # Here and not in a method of Subscription: a call each would cost as much as the rest.
            buffer = subscription.buffer
            if len(buffer) == buffer.maxlen:
                subscription.dropped += 1  # A full deque lets the oldest go by itself.
            buffer.append(event)
            if subscription._wake is not None:
                subscription._wake.set()
                subscription._wake = None

    def attach(self, *types: type[E], buffer: int = 256, owner: str = "") -> Subscription[E]:
        """Subscribe until `detach`; events published from the next line on arrive."""
        issubclass(Event, types)  # What is no class fails now, and not in whoever publishes next.
        check_count("buffer", buffer, most=1_000_000)
        subscription = Subscription(types, buffer, owner)
        self.subscriptions += (subscription,)
        self._routes.clear()
        return subscription

    def detach(self, subscription: Subscription[Any]) -> None:
        """End a subscription."""
        self.subscriptions = tuple(s for s in self.subscriptions if s is not subscription)
        self._routes.clear()
        subscription.close()

    @contextmanager
    def subscribe(self, *types: type[E], buffer: int = 256) -> Iterator[Subscription[E]]:
        """Subscribe to events of these types, and of their subclasses, for as long as the block."""
        subscription = self.attach(*types, buffer=buffer)
        try:
            yield subscription
        finally:
            self.detach(subscription)
