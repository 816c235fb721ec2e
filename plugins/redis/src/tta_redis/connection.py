"""One connection that many share: the first to call writes at once, those after it in the same turn together."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, cast

import anyio
import hiredis
from redis.exceptions import ResponseError

from .config import Address
from .errors import ConnectionLost, NoAnswer, Refused, Unreachable

# Why not redis-py's: there a connection belongs to one call from its command to its answer, so a hundred callers at
# once take a hundred connections, with a write and a read each. Here they share one: what they all say goes out in
# one write, and the answers come in one read. `make bench-connection` measures what that is worth; STORAGE.md of
# messages-redis has the figures. And redis-py sends again whatever was lost, without saying whether it had been sent:
# a send that may have counted could not be told from one that never left.
pack: Callable[[tuple[Any, ...]], bytes] = hiredis.pack_command
_NOTHING = object()
Reply = Any


class PendingReply:
    """What one `Connection.send` waits for, until ``deadline``: ``count`` replies, and those that have come."""

    __slots__ = ("count", "deadline", "future", "replies", "silence", "since")

    def __init__(
        self, future: asyncio.Future[Any], count: int, silence: float, since: float, deadline: float
    ) -> None:  # fmt: skip
        self.future = future
        self.count = count
        self.silence = silence
        self.since = since
        self.deadline = deadline
        self.replies: list[Reply] = []


class Connection(asyncio.Protocol):
    """A connection on which many callers' commands are under way at once, answered in order.

    A reply that is an error is a result, too. A server that owes a reply and says nothing for ``silence`` seconds, as
    whoever sent says, has lost the connection.
    """

    def __init__(self, address: Address, *, max_pending: int) -> None:
        self.address = address
        self.greeting: dict[str, Any] = {}
        self.opened_at = 0.0
        self.closed = anyio.Event()
        self.open = False
        """Whether a call can be sent right now."""
        self.lost = ""
        """Why the connection ended, if it did."""
        self._reader = hiredis.Reader(replyError=_error, notEnoughData=_NOTHING)
        self._loop = running_loop()
        self._transport: asyncio.Transport | None = None
        self._pending: deque[PendingReply] = deque()
        self._unsent: list[bytes] = []
        self._max_pending = max_pending
        self._paused = False
        self._retired = False
        self._writable = anyio.Event()
        self._received_at = 0.0
        self._silence_timer: asyncio.TimerHandle | None = None
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._deadline = inf
        """For when that timer is set: no reply is due earlier."""

    @property
    def pending(self) -> int:
        """How many calls are under way."""
        return len(self._pending)

    def send(self, payload: bytes, count: int, silence: float, deadline: float = inf) -> asyncio.Future[Any]:
        """Write ``count`` packed commands; the future holds the reply, or the list of more than one.

        After ``deadline``, by the event loop's clock, it holds a `NoAnswer`.
        """
        loop = self._loop
        if self.lost:
            raise ConnectionLost(self.lost, sent=False)
        if not self._pending and self._transport is not None:
            # Nobody else's is under way, so waiting for others to share the write would only cost time.
            self._transport.write(payload)
        else:
            if not self._unsent:
                loop.call_soon(self._flush)
            self._unsent.append(payload)
        pending = PendingReply(loop.create_future(), count, silence, loop.time(), deadline)
        self._pending.append(pending)
        if deadline < self._deadline:
            self._set_deadline(deadline)
        if len(self._pending) >= self._max_pending:
            self._stop_sending()
        if self._silence_timer is None:
            self._silence_timer = loop.call_later(min(silence / 4, 1.0), self._check_silence)
        return pending.future

    async def writable(self) -> None:
        """Wait until a call can be sent; raise `ConnectionLost` where that will never be."""
        while not self.open:
            if self.lost:
                raise ConnectionLost(self.lost, sent=False)
            await self._writable.wait()

    def abort(self, reason: str) -> None:
        """End the connection now; calls under way are lost."""
        self.lost = self.lost or reason
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def retire(self) -> None:
        """End the connection as soon as nothing is under way."""
        self._retired = True
        self.open = False
        if not self._pending:
            self.abort("no longer needed")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what asyncio's do, and are none of them.
        self._transport = cast(asyncio.Transport, transport)
        self.open = True
        self.opened_at = self._loop.time()
        plain: socket.socket | None = transport.get_extra_info("socket")
        if plain is not None and plain.family != socket.AF_UNIX:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        self._received_at = self._loop.time()
        gets = self._reader.gets
        try:
            self._reader.feed(data)
            while (reply := gets()) is not _NOTHING:
                self.reply_received(reply)
        except (hiredis.ProtocolError, IndexError):
            self.abort("it doesn't speak Redis's protocol")
        if not self.open and not self._paused and len(self._pending) * 2 <= self._max_pending:
            self._resume_sending()

    def reply_received(self, reply: Reply) -> None:
        """Give a reply to the call that has waited longest: Redis answers in the order of asking."""
        pending = self._pending[0]
        if pending.count > 1:
            pending.replies.append(reply)
            if len(pending.replies) < pending.count:
                return
            reply = pending.replies
        self._pending.popleft()
        if not pending.future.done():  # Otherwise its caller was cancelled, and the reply is nobody's.
            pending.future.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self.lost or (f"connection lost: {described(exc)}" if exc else "the server closed the connection")
        self.open = False
        unsent = len(self._unsent)
        pending = len(self._pending)
        for number, each in enumerate(self._pending):
            if not each.future.done():
                # Whose payload was still here, the last of them, the server can't have seen.
                each.future.set_exception(ConnectionLost(self.lost, sent=number < pending - unsent))
        self._pending.clear()
        self._unsent.clear()
        for timer in (self._silence_timer, self._deadline_timer):
            if timer is not None:
                timer.cancel()
        self._writable.set()
        self.closed.set()

    def pause_writing(self) -> None:
        self._paused = True
        self._stop_sending()

    def resume_writing(self) -> None:
        self._paused = False
        self._resume_sending()

    def _stop_sending(self) -> None:
        if self.open:
            self.open = False
            self._writable = anyio.Event()

    def _resume_sending(self) -> None:
        if self._retired:
            if not self._pending:
                self.abort("no longer needed")
        elif not self.lost and len(self._pending) < self._max_pending:
            self.open = True
            self._writable.set()

    def _flush(self) -> None:
        if self._unsent and self._transport is not None and not self.lost:
            unsent = self._unsent
            self._unsent = []
            self._transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))

    def _set_deadline(self, deadline: float) -> None:
        # One timer for all calls: most are answered long before, and one each would cost as much as sending it.
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        self._deadline = deadline
        self._deadline_timer = self._loop.call_at(deadline, self._check_deadlines)

    def _check_deadlines(self) -> None:
        self._deadline_timer, self._deadline = None, inf
        now, earliest = self._loop.time(), inf
        for each in self._pending:
            if each.future.done():
                continue
            if each.deadline <= now:
                each.future.set_exception(NoAnswer())
            else:
                earliest = min(earliest, each.deadline)
        if earliest < inf:
            self._set_deadline(earliest)

    def _check_silence(self) -> None:
        self._silence_timer = None
        if self._pending:
            first = self._pending[0]
            silence = self._loop.time() - max(first.since, self._received_at)
            if silence >= first.silence:
                self.abort(f"no answer within {first.silence:g} s")
            else:
                again = min(first.silence / 4, first.silence - silence, 1.0)
                self._silence_timer = self._loop.call_later(again, self._check_silence)


class Login:
    """How to greet a server."""

    def __init__(
        self, *, username: str, password: str, database: int, name: str, tls: ssl.SSLContext | None,
        connect_timeout: float, socket_timeout: float, max_pending: int,
    ) -> None:  # fmt: skip
        hello: tuple[Any, ...] = ("HELLO", 2)
        if username or password:
            hello += ("AUTH", username or "default", password)
        self._commands = [pack((*hello, "SETNAME", name))]
        if database:
            self._commands.append(pack(("SELECT", database)))
        self.tls = tls
        self.limit = connect_timeout
        self._socket_timeout = socket_timeout
        self._max_pending = max_pending

    async def open(self, address: Address, kind: Callable[..., Connection] = Connection) -> Connection:
        """Connect and greet; raise `Unreachable`, or `Refused` where trying again is no use."""
        connection: Connection | None = None

        def protocol() -> Connection:
            nonlocal connection
            connection = kind(address, max_pending=self._max_pending)
            return connection

        try:
            with anyio.fail_after(self.limit):
                await self._connect(address, protocol)
                assert connection is not None
                connection.greeting = await self._greet(connection)
        except TimeoutError:
            raise Unreachable(f"{address}: no answer within {self.limit:g} s") from None
        except ssl.SSLCertVerificationError as exc:
            raise Refused(f"{address}: its certificate is not trusted: {exc.verify_message}") from None
        except OSError as exc:
            raise Unreachable(f"{address}: {described(exc)}") from None
        except ConnectionLost as exc:
            raise Unreachable(f"{address}: {exc}") from None
        finally:
            if connection is not None and not connection.greeting:
                connection.abort("not greeted")
        return connection

    async def _connect(self, address: Address, protocol: Callable[[], Connection]) -> None:
        loop = running_loop()
        if not address.port:
            await loop.create_unix_connection(protocol, address.host)
        else:
            await loop.create_connection(protocol, address.host, address.port, ssl=self.tls)

    async def _greet(self, connection: Connection) -> dict[str, Any]:
        count = len(self._commands)
        answer = await connection.send(b"".join(self._commands), count, self._socket_timeout)
        replies = answer if count > 1 else [answer]
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise self._refusal(connection.address, str(reply))
        pairs: Sequence[Any] = replies[0]
        found = dict(zip(pairs[::2], pairs[1::2], strict=False))
        return {_text(key): _text(value) for key, value in found.items()}

    def _refusal(self, address: Address, error: str) -> Exception:
        code = error.partition(" ")[0]
        if code in ("LOADING", "BUSY", "MASTERDOWN") or "max number of clients" in error:
            return Unreachable(f"{address}: {error}")
        if code == "NOPERM":
            return Refused(f"{address}: its user lacks a right: {error}")
        if code in ("WRONGPASS", "NOAUTH"):
            return Refused(f"{address}: it refuses the username or password ({code}); set username and password")
        if "unknown command" in error:
            return Refused(f"{address}: its server is too old; Redis 6.2 or newer is needed")
        return Refused(f"{address}: {error}")


def running_loop() -> asyncio.AbstractEventLoop:
    """Return asyncio's loop: anyio has no protocols, and these are what makes one write of many calls."""
    return asyncio.get_running_loop()  # noqa: TID251


def described(exc: Exception | None) -> str:
    """Say what went wrong on a connection, without repeating the address."""
    if isinstance(exc, ConnectionRefusedError) or "Connect call failed" in str(exc):
        return "connection refused"
    if isinstance(exc, OSError) and exc.errno and not isinstance(exc, ssl.SSLError | socket.gaierror):
        return os.strerror(exc.errno).lower()
    return str(exc) or type(exc).__name__


def _error(text: str) -> ResponseError:
    # What follows quotes the command, and so perhaps a person.
    return ResponseError(text.partition(", with args beginning with")[0])


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
