"""One connection that many share: the first to call writes at once, those after it in the same turn together."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import anyio
import hiredis
from redis.exceptions import ResponseError

from .config import Address
from .errors import LinkLost, Refused, Unreachable

pack: Callable[[tuple[Any, ...]], bytes] = hiredis.pack_command
_NOTHING = object()
Reply = Any


class Call:
    """Some commands that were written together, and their answers so far."""

    __slots__ = ("count", "future", "patience", "replies", "since")

    def __init__(self, future: asyncio.Future[Any], count: int, patience: float, since: float) -> None:
        self.future, self.count, self.patience, self.since = future, count, patience, since
        self.replies: list[Reply] = []


class Link(asyncio.Protocol):
    """A connection with calls under way, answered in order.

    An answer that is an error is a result, too. A server that owes an answer and says nothing for a
    call's ``patience`` (in seconds) has lost the connection.
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
        self._pending: deque[Call] = deque()
        self._unsent: list[bytes] = []
        self._max_pending, self._paused, self._retired = max_pending, False, False
        self._writable = anyio.Event()
        self._heard_at = 0.0
        self._watch: asyncio.TimerHandle | None = None

    @property
    def pending(self) -> int:
        """How many calls are under way."""
        return len(self._pending)

    def send(self, payload: bytes, count: int, patience: float) -> asyncio.Future[Any]:
        """Write ``count`` packed commands; the future holds the answer, or the list of more than one."""
        loop = self._loop
        if self.lost:
            raise LinkLost(self.lost, sent=False)
        if not self._pending and self._transport is not None:
            self._transport.write(payload)  # Nobody else's is about to come along, as far as is known.
        else:
            if not self._unsent:
                loop.call_soon(self._flush)
            self._unsent.append(payload)
        call = Call(loop.create_future(), count, patience, loop.time())
        self._pending.append(call)
        if len(self._pending) >= self._max_pending:
            self._hold()
        if self._watch is None:
            self._watch = loop.call_later(min(patience / 4, 1.0), self._look)
        return call.future

    async def writable(self) -> None:
        """Wait until a call can be sent; raise `LinkLost` where that will never be."""
        while not self.open:
            if self.lost:
                raise LinkLost(self.lost, sent=False)
            await self._writable.wait()

    def abort(self, reason: str) -> None:
        """End the connection now; calls under way are lost."""
        self.lost = self.lost or reason
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def retire(self) -> None:
        """End the connection as soon as nothing is under way."""
        self._retired, self.open = True, False
        if not self._pending:
            self.abort("no longer needed")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what asyncio's do, and are none of them.
        self._transport = cast(asyncio.Transport, transport)
        self.open, self.opened_at = True, self._loop.time()
        plain: socket.socket | None = transport.get_extra_info("socket")
        if plain is not None and plain.family != socket.AF_UNIX:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        gets = self._reader.gets
        try:
            self._reader.feed(data)
            while (reply := gets()) is not _NOTHING:
                self.answered(reply)
        except (hiredis.ProtocolError, IndexError):
            self.abort("it doesn't speak Redis's protocol")
        if not self.open and not self._paused and len(self._pending) * 2 <= self._max_pending:
            self._release()

    def answered(self, reply: Reply) -> None:
        """Give an answer to the call that has waited longest."""
        call = self._pending[0]
        if call.count > 1:
            call.replies.append(reply)
            if len(call.replies) < call.count:
                return
            reply = call.replies
        self._pending.popleft()
        if not call.future.done():  # Otherwise whoever asked has gone.
            call.future.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self.lost or (f"connection lost: {described(exc)}" if exc else "the server closed the connection")
        self.open = False
        unsent, pending = len(self._unsent), len(self._pending)
        for number, call in enumerate(self._pending):
            if not call.future.done():
                call.future.set_exception(LinkLost(self.lost, sent=number < pending - unsent))
        self._pending.clear()
        self._unsent.clear()
        if self._watch is not None:
            self._watch.cancel()
        self._writable.set()
        self.closed.set()

    def pause_writing(self) -> None:
        self._paused = True
        self._hold()

    def resume_writing(self) -> None:
        self._paused = False
        self._release()

    def _hold(self) -> None:
        if self.open:
            self.open, self._writable = False, anyio.Event()

    def _release(self) -> None:
        if self._retired:
            if not self._pending:
                self.abort("no longer needed")
        elif not self.lost and len(self._pending) < self._max_pending:
            self.open = True
            self._writable.set()

    def _flush(self) -> None:
        if self._unsent and self._transport is not None and not self.lost:
            unsent, self._unsent = self._unsent, []
            self._transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))

    def _look(self) -> None:
        self._watch = None
        if self._pending:
            first = self._pending[0]
            silence = self._loop.time() - max(first.since, self._heard_at)
            if silence >= first.patience:
                self.abort(f"no answer within {first.patience:g} s")
            else:
                self._watch = self._loop.call_later(min(first.patience / 4, first.patience - silence, 1.0), self._look)


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
        self.tls, self.limit = tls, connect_timeout
        self._patience, self._max_pending = socket_timeout, max_pending

    async def open(self, address: Address, kind: Callable[..., Link] = Link) -> Link:
        """Connect and greet; raise `Unreachable`, or `Refused` where trying again is no use."""
        link: Link | None = None

        def protocol() -> Link:
            nonlocal link
            link = kind(address, max_pending=self._max_pending)
            return link

        try:
            with anyio.fail_after(self.limit):
                await self._connect(address, protocol)
                assert link is not None
                link.greeting = await self._greet(link)
        except TimeoutError:
            raise Unreachable(f"{address}: no answer within {self.limit:g} s") from None
        except ssl.SSLCertVerificationError as exc:
            raise Refused(f"{address}: its certificate is not trusted: {exc.verify_message}") from None
        except OSError as exc:
            raise Unreachable(f"{address}: {described(exc)}") from None
        except LinkLost as exc:
            raise Unreachable(f"{address}: {exc}") from None
        finally:
            if link is not None and not link.greeting:
                link.abort("not greeted")
        return link

    async def _connect(self, address: Address, protocol: Callable[[], Link]) -> None:
        loop = running_loop()
        if not address.port:
            await loop.create_unix_connection(protocol, address.host)
        else:
            await loop.create_connection(
                protocol, address.host, address.port, ssl=self.tls
            )  # fmt: skip

    async def _greet(self, link: Link) -> dict[str, Any]:
        count = len(self._commands)
        answer = await link.send(b"".join(self._commands), count, self._patience)
        replies = answer if count > 1 else [answer]
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise self._refusal(link.address, str(reply))
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
