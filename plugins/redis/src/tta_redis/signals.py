"""What is published, for whoever listens: one connection for all, and an honest None where something may be missing."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio
from redis.exceptions import ResponseError

from .config import Config
from .errors import LinkLost, RedisDown, Refused, Unreachable
from .link import Link, Reply, pack
from .nodes import Nodes, pause

log = logging.getLogger("tta.redis")


class Signal(NamedTuple):
    """Something that was published."""

    channel: str
    payload: bytes


class Signals:
    """Shares one connection among all listeners, and keeps it."""

    def __init__(self, nodes: Nodes, config: Config) -> None:
        self._nodes, self._config = nodes, config
        self._listeners: dict[str, set[_Reader | _Called]] = {}
        self._outstanding: Counter[str] = Counter()
        self._changed = anyio.Event()
        self._link: _Channels | None = None
        self._reason = ""
        self.reconnects = 0

    @property
    def listeners(self) -> int:
        """How many listeners there are."""
        return len({listener for those in self._listeners.values() for listener in those})

    @asynccontextmanager
    async def listen(self, channels: Sequence[str], buffer: int) -> AsyncIterator[AsyncIterator[Signal | None]]:
        """Hear channels; entering waits until the server has agreed."""
        listener = _Reader(buffer)
        async with self._heard_by(listener, channels):
            yield listener

    @asynccontextmanager
    async def call(self, channels: Sequence[str], heard: Callable[[Signal | None], None]) -> AsyncIterator[None]:
        """Call ``heard`` with what comes, the moment that it comes; entering waits until the server has agreed."""
        async with self._heard_by(_Called(heard), channels):
            yield

    @asynccontextmanager
    async def _heard_by(self, listener: _Reader | _Called, channels: Sequence[str]) -> AsyncIterator[None]:
        new = []
        for channel in channels:
            those = self._listeners.setdefault(channel, set())
            if not those:
                new.append(channel)
            those.add(listener)
        try:
            self._tell("SUBSCRIBE", new)
            self._stir()
            with anyio.move_on_after(self._config.command_timeout) as scope:
                while self._link is None or any(self._outstanding[channel] for channel in channels):
                    await self._changed.wait()
            if scope.cancelled_caught:
                raise RedisDown(f"SUBSCRIBE: {self._reason or 'no answer in time'}")
            listener.begin()
            yield
        finally:
            gone = []
            for channel in dict.fromkeys(channels):
                self._listeners[channel].discard(listener)
                if not self._listeners[channel]:
                    del self._listeners[channel]
                    gone.append(channel)
            self._tell("UNSUBSCRIBE", gone)
            self._stir()

    async def run(self) -> None:
        """Keep the connection while anybody listens."""
        failures = 0
        while True:
            while not self._listeners:
                await self._changed.wait()
            try:
                await self._stay()
                failures = 0
            except (Unreachable, LinkLost, Refused, TimeoutError) as exc:
                failures += 1
                if str(exc) != self._reason:
                    log.warning("listening: %s", exc)
                self._reason = str(exc) or "no answer in time"
                await anyio.sleep(pause(failures, self._config.retry))

    async def _stay(self) -> None:
        """Listen on one connection until it ends, or nobody listens any more."""
        with anyio.fail_after(self._config.command_timeout):
            link = await self._nodes.reach_any(_Channels)
        assert isinstance(link, _Channels)
        try:
            link.signals = self
            self._link, self._reason = link, ""
            self._outstanding.clear()
            self._tell("SUBSCRIBE", [*self._listeners])
            for those in self._listeners.values():
                for listener in those:
                    listener.gap()
            self._stir()
            while self._listeners:
                with anyio.move_on_after(self._config.socket_timeout / 2):
                    await link.closed.wait()
                    raise Unreachable(f"{link.address}: {link.lost}")
                link.probe(self._config.socket_timeout)
        finally:
            self._link = None
            self.reconnects += 1
            link.abort("nobody listens")

    def heard(self, kind: bytes, channel: str, payload: bytes) -> None:
        """Give what came to whoever listens."""
        if kind == b"message":
            for listener in tuple(self._listeners.get(channel, ())):
                listener.put(Signal(channel, payload))
        elif kind == b"subscribe":
            self._outstanding[channel] -= 1
            if self._outstanding[channel] <= 0:
                del self._outstanding[channel]
                self._stir()

    def advice(self, error: str) -> str:
        """Say which right of an ACL is missing, where that is what an error is about; else nothing."""
        if not error.startswith("NOPERM"):
            return ""
        return f"; give the user &{self._config.prefix}:*" if "channel" in error else "; give the user +subscribe"

    def _tell(self, what: str, channels: Sequence[str]) -> None:
        link = self._link
        if link is None or not channels or link.lost:
            return
        if what == "SUBSCRIBE":
            self._outstanding.update(channels)
        link.tell(pack((what, *channels)))

    def _stir(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


class _Reader(AsyncIterator[Signal | None]):
    def __init__(self, buffer: int) -> None:
        self.heard: deque[Signal | None] = deque()
        self._buffer = max(2, buffer)  # the newest, and None for those before
        self._something = anyio.Event()

    def begin(self) -> None:
        self.heard.clear()  # What it has missed so far it never asked for.

    def put(self, signal: Signal) -> None:
        if len(self.heard) >= self._buffer:
            # The oldest are lost; None stands in their place.
            self.heard.popleft()
            if self.heard:
                self.heard[0] = None
        self.heard.append(signal)
        self._something.set()

    def gap(self) -> None:
        self.heard.clear()  # Whoever looks anew needs no old news.
        self.heard.append(None)
        self._something.set()

    async def __anext__(self) -> Signal | None:
        while not self.heard:
            self._something = anyio.Event()
            await self._something.wait()
        return self.heard.popleft()


class _Called:
    def __init__(self, heard: Callable[[Signal | None], None]) -> None:
        self._heard, self._begun = heard, False

    def begin(self) -> None:
        self._begun = True

    def put(self, signal: Signal | None) -> None:
        if self._begun:
            try:
                self._heard(signal)
            except Exception:
                log.exception("a listener failed")

    def gap(self) -> None:
        self.put(None)


class _Channels(Link):
    """A connection in the subscribed state; whatever comes is a push."""

    signals: Signals | None = None

    def answered(self, reply: Reply) -> None:
        if isinstance(reply, list) and len(reply) == 3 and reply[0] in (b"message", b"subscribe", b"unsubscribe"):
            if self.signals is not None:
                self.signals.heard(reply[0], reply[1].decode(errors="replace"), reply[2])
        elif self.signals is not None and isinstance(reply, ResponseError):  # not allowed, or a server that is loading
            self.abort(f"it refuses SUBSCRIBE: {reply}{self.signals.advice(str(reply))}")
        else:  # the greeting, or a PING's answer
            super().answered(reply)

    def tell(self, payload: bytes) -> None:
        """Write what has no answer of its own."""
        assert self._transport is not None
        self._transport.write(payload)

    def probe(self, patience: float) -> None:
        """Ask for a sign of life, without waiting for it: its absence ends the connection."""
        if not self._pending:
            self.send(pack(("PING",)), 1, patience).add_done_callback(_seen)


def _seen(answer: asyncio.Future[Reply]) -> None:
    if not answer.cancelled():
        answer.exception()  # The connection's end is seen by others.
