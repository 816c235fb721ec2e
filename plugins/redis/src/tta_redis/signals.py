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

from tta_kernel import as_failure

from .config import Config
from .connection import Connection, Reply, pack
from .errors import ConnectionLost, RedisDown, Refused, Unreachable
from .nodes import Nodes, backoff

log = logging.getLogger("tta.redis")


class Signal(NamedTuple):
    """Something that was published."""

    channel: str
    payload: bytes


class Signals:
    """Shares one connection among all listeners, and keeps it."""

    def __init__(self, nodes: Nodes, config: Config) -> None:
        self._nodes = nodes
        self._config = config
        self._listeners: dict[str, set[_Queue | _Callback]] = {}
        self._unconfirmed: Counter[str] = Counter()
        """How many SUBSCRIBEs of a channel the server has yet to answer."""
        self._gaps: Counter[_Queue | _Callback] = Counter()
        """Listeners that have missed something, and how many of their channels the server has yet to agree to."""
        self._failures = 0
        """How often in a row listening came to nothing."""
        self._changed = anyio.Event()
        self._connection: _SubscribedConnection | None = None
        self._reason = ""
        self.reconnects = 0

    @property
    def listeners(self) -> int:
        """How many listeners there are."""
        return len({listener for those in self._listeners.values() for listener in those})

    @asynccontextmanager
    async def listen(self, channels: Sequence[str], buffer: int) -> AsyncIterator[AsyncIterator[Signal | None]]:
        """Iterate over what is published on channels; entering waits until the server has agreed."""
        queue = _Queue(buffer)
        async with self._subscribed(queue, channels):
            yield queue

    @asynccontextmanager
    async def subscribe(
        self, channels: Sequence[str], callback: Callable[[Signal | None], None]
    ) -> AsyncIterator[None]:  # fmt: skip
        """Call back with what comes, the moment that it comes; entering waits until the server has agreed."""
        async with self._subscribed(_Callback(callback), channels):
            yield

    @asynccontextmanager
    async def _subscribed(self, listener: _Queue | _Callback, channels: Sequence[str]) -> AsyncIterator[None]:
        new = []
        for channel in channels:
            those = self._listeners.setdefault(channel, set())
            if not those:
                new.append(channel)
            those.add(listener)
        try:
            self._send("SUBSCRIBE", new)
            self._notify()
            with anyio.move_on_after(self._config.command_timeout) as scope:
                while self._connection is None or any(self._unconfirmed[channel] for channel in channels):
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
            self._send("UNSUBSCRIBE", gone)
            self._notify()

    async def run(self) -> None:
        """Keep the connection while anybody listens."""
        while True:
            while not self._listeners:
                await self._changed.wait()
            try:
                await self._stay_connected()
            except (Unreachable, ConnectionLost, Refused, TimeoutError) as exc:
                self._failures += 1
                if str(exc) != self._reason:
                    log.warning("listening: %s", exc)
                self._reason = str(exc) or "no answer in time"
                await anyio.sleep(backoff(self._failures, self._config.retry))

    async def _stay_connected(self) -> None:
        """Listen on one connection until it ends, or nobody listens any more."""
        with anyio.fail_after(self._config.command_timeout):
            connection = await self._nodes.reach_any(_SubscribedConnection)
        assert isinstance(connection, _SubscribedConnection)
        try:
            connection.signals = self
            self._connection = connection
            self._reason = ""
            self._unconfirmed.clear()
            # Told before the server has agreed, a listener would look too early, and miss what comes between.
            self._gaps = Counter(listener for those in self._listeners.values() for listener in those)
            self._send("SUBSCRIBE", [*self._listeners])
            self._notify()
            while self._listeners:
                with anyio.move_on_after(self._config.socket_timeout / 2):
                    await connection.closed.wait()
                    raise Unreachable(f"{connection.address}: {connection.lost}")
                # Nobody owes a reply here, so a silent server would go unnoticed.
                connection.probe(self._config.socket_timeout)
        finally:
            self._connection = None
            self.reconnects += 1
            connection.abort("nobody listens")

    def push_received(self, kind: bytes, channel: str, payload: bytes) -> None:
        """Give what came to whoever listens."""
        if kind == b"message":
            for listener in tuple(self._listeners.get(channel, ())):
                listener.put(Signal(channel, payload))
        elif kind == b"subscribe":
            self._unconfirmed[channel] -= 1
            if self._unconfirmed[channel] <= 0:
                del self._unconfirmed[channel]
                self._failures = 0
                self._end_gaps(channel)
                self._notify()

    def _end_gaps(self, channel: str) -> None:
        for listener in tuple(self._listeners.get(channel, ())):
            if listener in self._gaps:
                self._gaps[listener] -= 1
                if not self._gaps[listener]:
                    del self._gaps[listener]
                    listener.gap()

    def advice(self, error: str) -> str:
        """Say which right of an ACL is missing, where that is what an error is about; else nothing."""
        if not error.startswith("NOPERM"):
            return ""
        return f"; give the user &{self._config.prefix}:*" if "channel" in error else "; give the user +subscribe"

    def _send(self, what: str, channels: Sequence[str]) -> None:
        connection = self._connection
        if connection is None or not channels or connection.lost:
            return  # Whoever connects subscribes to all that is listened to then.
        if what == "SUBSCRIBE":
            self._unconfirmed.update(channels)
        connection.write(pack((what, *channels)))

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


class _Queue(AsyncIterator[Signal | None]):
    """A listener that iterates."""

    def __init__(self, buffer: int) -> None:
        self._waiting: deque[Signal | None] = deque()
        self._buffer = max(2, buffer)  # the newest, and None for those before
        self._something = anyio.Event()

    def begin(self) -> None:
        self._waiting.clear()  # What it has missed so far it never asked for.

    def put(self, signal: Signal) -> None:
        if len(self._waiting) >= self._buffer:
            # The oldest are lost; None stands in their place.
            self._waiting.popleft()
            if self._waiting:
                self._waiting[0] = None
        self._waiting.append(signal)
        self._something.set()

    def gap(self) -> None:
        self._waiting.clear()  # Whoever looks anew needs no old news.
        self._waiting.append(None)
        self._something.set()

    async def __anext__(self) -> Signal | None:
        while not self._waiting:
            self._something = anyio.Event()
            await self._something.wait()
        return self._waiting.popleft()


class _Callback:
    """A listener that is called."""

    def __init__(self, callback: Callable[[Signal | None], None]) -> None:
        self._callback = callback
        self._begun = False

    def begin(self) -> None:
        self._begun = True

    def put(self, signal: Signal | None) -> None:
        if self._begun:
            try:
                self._callback(signal)
            except BaseException as exc:
                # A stranger's code, called while a reply is read: the other listeners, and the connection, go on.
                log.error("a listener failed", exc_info=as_failure(exc))  # noqa: TRY400 - not what was caught

    def gap(self) -> None:
        self.put(None)


class _SubscribedConnection(Connection):
    """A connection in the subscribed state; whatever comes is a push."""

    signals: Signals | None = None

    def reply_received(self, reply: Reply) -> None:
        if isinstance(reply, list) and len(reply) == 3 and reply[0] in (b"message", b"subscribe", b"unsubscribe"):
            if self.signals is not None:
                self.signals.push_received(reply[0], reply[1].decode(errors="replace"), reply[2])
        elif self.signals is not None and isinstance(reply, ResponseError):  # not allowed, or a server that is loading
            self.abort(f"it refuses SUBSCRIBE: {reply}{self.signals.advice(str(reply))}")
        else:  # the greeting, or a PING's answer
            super().reply_received(reply)

    def write(self, payload: bytes) -> None:
        """Write what has no reply of its own."""
        assert self._transport is not None
        self._transport.write(payload)

    def probe(self, silence: float) -> None:
        """Ask for a sign of life, without waiting for it: its absence ends the connection."""
        if not self._pending:
            self.send(pack(("PING",)), 1, silence).add_done_callback(_retrieve)


def _retrieve(reply: asyncio.Future[Reply]) -> None:
    """Take a future's exception, so that asyncio doesn't log it: the connection's end is seen by others."""
    if not reply.cancelled():
        reply.exception()
