"""The client that the backends share: many callers, few connections, and never an endless wait."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
from redis.exceptions import ResponseError

from tta_kernel import Service

from .config import Config
from .errors import LinkLost, RedisDown, Refused, Unreachable
from .link import Link, Login, Reply, pack, running_loop
from .nodes import Nodes, pause, standalone
from .routing import first_key, holds_up, repeatable, slot_of
from .scripts import Script
from .signals import Signal, Signals

if TYPE_CHECKING:
    import redis.asyncio

Command = Sequence[Any]
# Answers that say: not executed, and another time or another server will.
_LATER = frozenset({"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY"})
_CODE = re.compile(r"(?:ERR Error running script.*?: @user_script:\d+: )?([A-Z]+)")


class Redis:
    """Commands to Redis, written together and answered in order; replies are bytes.

    What a call may take in all is ``timeout``, else the config's ``command_timeout``. A call that
    was certainly not executed is tried again within that time. One that may have been executed is sent
    again only if it is known to only read, or the caller says ``retry=True``; otherwise it ends
    in `RedisDown` with ``unknown``. A cancelled call may have been executed.
    """

    def __init__(self, config: Config, nodes: Nodes, signals: Signals) -> None:
        self.prefix = config.prefix
        self.config = config
        self._nodes, self._signals = nodes, signals
        self._sources: dict[str, str] = {}
        self._client: redis.asyncio.Redis | redis.asyncio.RedisCluster | None = None
        self._loop = running_loop()

    def key(self, *parts: str, tag: str = "") -> str:
        """Return ``prefix:part:{tag}:part…``; keys with the same tag share a Cluster's slot.

        What would change a key's meaning (``%``, ``:``, braces) is written as in a URL.
        """
        found = [self.prefix, *map(_plain, parts)]
        if tag:
            found.insert(min(2, len(found)), f"{{{_plain(tag)}}}")
        return ":".join(found)

    async def execute(
        self,
        *command: Any,
        key: str | bytes | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # late is not undone: the error says what is known
        retry: bool = False,
    ) -> Any:
        """Send one command; on a Cluster its first key says where, or ``key``, or any master if it has none.

        An answer that is an error is raised as `redis.exceptions.ResponseError`.
        """
        name = str(command[0]).upper()
        if holds_up(name, command):
            raise ValueError(f"{name} holds up all other callers: use listen, a script's `replicas`, or `client`")
        call = _Call(
            [command], slot_of(first_key(command) if key is None else key), retry=retry or repeatable(command)
        )  # fmt: skip
        (reply,) = await self._answers(call, timeout)
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    async def pipeline(
        self,
        *commands: Command,
        key: str | bytes | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # late is not undone: the error says what is known
        retry: bool = False,
    ) -> list[Any]:
        """Send commands in one round trip; on a Cluster all their keys share a slot.

        It is no transaction: others may come between, and each can fail, which puts the
        `redis.exceptions.ResponseError` in its place.
        """
        if not commands:
            return []
        for command in commands:
            if holds_up(name := str(command[0]).upper(), command):
                raise ValueError(f"{name} holds up all other callers: use listen, a script's `replicas`, or `client`")
        keys = (key for key in (first_key(command) for command in commands) if key is not None)
        call = _Call(
            commands, slot_of(next(keys, None) if key is None else key), retry=retry or all(map(repeatable, commands))
        )  # fmt: skip
        return await self._answers(call, timeout)

    def script(self, source: str) -> Script:
        """Return a Lua script to be called like a function; servers get its source once."""
        script = Script(source, self._run)
        self._sources[script.sha] = source
        return script

    async def wait(self, replicas: int, timeout: float, *, key: str | bytes) -> int:  # noqa: ASYNC109  # WAIT's own
        """Wait until ``replicas`` have all that the master of ``key`` was told so far; return how many have.

        After ``timeout`` seconds it returns what there is.
        """
        # Replicas hear writes in order: whoever has this one has those before it.
        plain = key.decode() if isinstance(key, bytes) else key
        tag = re.search(r"\{([^}]+)\}", plain)
        marker = f"{self.prefix}:wait:{{{tag[1] if tag else plain}}}"
        commands = [("SET", marker, "", "PX", 1000), _wait(replicas, timeout)]
        call = _Call(commands, slot_of(marker), retry=True, waits=timeout)
        reply, count = await self._answers(call, None)
        for each in (reply, count):
            if isinstance(each, ResponseError):
                raise each
        return int(count)

    def listen(self, *channels: str, buffer: int = 1000) -> AbstractAsyncContextManager[AsyncIterator[Signal | None]]:
        """Hear what is published on channels, from the moment of entering: ``async with`` it, then ``async for``.

        Yields ``(channel, payload)``, or None where something may have been missed: after a reconnect, or
        when more than ``buffer`` lay unread. Then look for yourself.
        """
        return self._signals.listen(channels, buffer)

    @property
    def client(self) -> redis.asyncio.Redis | redis.asyncio.RedisCluster:
        """redis-py's own client, with the same limits, for what isn't offered here, such as blocking commands."""
        if self._client is None:
            from .plain import plain_client

            self._client = plain_client(self.config)
        return self._client

    @property
    def server(self) -> Mapping[str, Any]:
        """What a connected server says of itself: ``server``, ``version``, ``mode``, ``role``; empty if none is."""
        return next((link.greeting for link in self._nodes.links()), {})

    def links(self) -> Sequence[Link]:
        """Return the connections of now."""
        return self._nodes.links()

    def counts(self) -> Mapping[str, int]:
        """Return how many listeners and scripts there are, and how often listening was interrupted."""
        return {
            "listeners": self._signals.listeners,
            "listening_reconnects": self._signals.reconnects,
            "scripts": len(self._sources),
        }

    async def close_client(self) -> None:
        """Close the plain client, if there is one."""
        if self._client is not None:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await self._client.aclose()

    async def _run(
        self, sha: str, keys: Sequence[Any], args: Iterable[Any], *, limit: float | None, retry: bool,
        replicas: int, replica_timeout: float,
    ) -> Any:  # fmt: skip
        command = ("EVALSHA", sha, len(keys), *keys, *args)
        slot = slot_of(keys[0] if keys else None)
        if not replicas:
            (reply,) = await self._answers(_Call([command], slot, retry=retry), limit)
            if isinstance(reply, ResponseError):
                raise reply
            return reply
        call = _Call([command, _wait(replicas, replica_timeout)], slot, retry=retry, waits=replica_timeout)
        reply, count = await self._answers(call, limit)
        if isinstance(reply, ResponseError):
            raise reply
        if isinstance(count, ResponseError):  # The master is none any more, in the middle of waiting.
            raise RedisDown(f"EVALSHA: {count}", unknown=True)
        return reply, int(count)

    async def _answers(self, call: _Call, limit: float | None) -> list[Reply]:
        patience = self.config.socket_timeout + call.waits
        if limit is None:
            limit = self.config.command_timeout + call.waits
        else:
            patience = max(patience, limit)
        deadline = self._loop.time() + limit
        link = None if call.waits else self._nodes.ready(call.slot)
        if link is not None:  # The way of nearly all calls.
            try:
                replies = await self._through(link, call, deadline, patience)
                if not any(isinstance(reply, ResponseError) for reply in replies):
                    return replies
                call.take(replies)
            except LinkLost as lost:
                call.lost(lost, link, self._nodes)
        return await self._persist(call, deadline, patience, limit)

    async def _persist(self, call: _Call, deadline: float, patience: float, limit: float) -> list[Reply]:
        """Answer what is unanswered: elsewhere, later, or not at all."""
        retry = self.config.retry
        for attempt in range(retry.times + 1):
            link = None
            with anyio.move_on_after(deadline - self._loop.time()):
                try:
                    if call.errors and not await self._mended(call, attempt):
                        return call.replies
                    link = call.asked or await self._nodes.reach(call.slot, waits=call.waits > 0)
                except (Unreachable, LinkLost) as exc:
                    call.why = str(exc)
                    continue
                except Refused as exc:
                    raise RedisDown(str(exc)) from None
            if link is None:
                break
            try:
                call.take(await self._through(link, call, deadline, patience))
            except LinkLost as lost:
                call.lost(lost, link, self._nodes)
            else:
                if not call.errors:
                    return call.replies
        if call.errors:
            return call.replies
        raise RedisDown(f"{call}: {call.why or f'no answer within {limit:g} s'}")

    async def _mended(self, call: _Call, attempt: int) -> bool:
        """Prepare for sending failed commands again; False where their errors are the answer."""
        call.asked = None
        again, later = [], False
        for number in call.errors:
            error = str(call.replies[number])
            code = (_CODE.match(error) or [""])[0] if error.startswith("ERR Error running") else error.partition(" ")[0]
            code = code.rpartition(" ")[2]
            if code in ("MOVED", "ASK"):
                assert call.link is not None
                call.asked = await self._nodes.redirect(error, call.link, call.slot) or call.asked
            elif code in _LATER:
                later = True
                if code in ("READONLY", "MASTERDOWN", "CLUSTERDOWN") and call.link is not None:
                    self._nodes.distrust(call.link)
            elif code == "NOSCRIPT" and call.loads < 2 and (source := self._source(call.commands[number])):
                call.sources[source] = None
            else:
                continue
            again.append(number)
            call.why = error
        call.loads += bool(call.sources)
        if call.waits:  # A script and its WAIT stay together.
            again = [*range(len(call.commands))] if 0 in again else []
        if not again:
            return False
        call.todo, call.errors = again, []
        if later:
            await anyio.sleep(pause(attempt + 1, self.config.retry))
        return True

    def _source(self, command: Command) -> str:
        sha = command[1]
        return self._sources.get(sha, "") if str(command[0]).upper() == "EVALSHA" else ""

    async def _through(self, link: Link, call: _Call, deadline: float, patience: float) -> list[Reply]:
        payload, count = call.payload()
        call.link = link
        future = link.send(payload, count, patience)
        timer = self._loop.call_at(deadline, _late, future)
        try:
            replies = await future
        except _Late:
            raise RedisDown(f"{link.address}: {call}: no answer in time", unknown=not call.retry) from None
        finally:
            timer.cancel()
        return call.wanted(replies if count > 1 else [replies])


class _Call:
    """Commands on their way, with what has been answered so far."""

    __slots__ = (
        "asked", "commands", "errors", "link", "loads", "replies", "retry", "slot", "sources", "todo", "waits",
        "why",
    )  # fmt: skip

    def __init__(self, commands: Sequence[Command], slot: int, *, retry: bool, waits: float = 0.0) -> None:
        self.commands, self.slot, self.retry, self.waits = commands, slot, retry, waits
        self.todo: Sequence[int] = range(len(commands))
        self.replies: list[Reply] = [None] * len(commands)
        self.errors: list[int] = []
        self.sources: dict[str, None] = {}
        self.loads = 0
        self.asked: Link | None = None
        self.link: Link | None = None
        self.why = ""

    def __str__(self) -> str:
        more = len(self.commands) - 1
        return str(self.commands[0][0]).upper() + (f" and {more} more" if more else "")

    def payload(self) -> tuple[bytes, int]:
        """Return what to write, and how many answers that has."""
        if not self.sources and self.asked is None:
            todo = self.todo
            return b"".join([pack(tuple(self.commands[number])) for number in todo]), len(todo)
        parts = [pack(("SCRIPT", "LOAD", source)) for source in self.sources]
        for number in self.todo:
            if self.asked is not None:
                parts.append(pack(("ASKING",)))
            parts.append(pack(tuple(self.commands[number])))
        return b"".join(parts), len(parts)

    def wanted(self, replies: list[Reply]) -> list[Reply]:
        """Return the commands' own answers."""
        replies = replies[len(self.sources) :]
        return replies[1::2] if self.asked is not None else replies

    def take(self, replies: list[Reply]) -> None:
        """Keep answers, and note which are errors."""
        for number, reply in zip(self.todo, replies, strict=True):
            self.replies[number] = reply
        self.errors = [number for number in self.todo if isinstance(self.replies[number], ResponseError)]
        self.sources = {}

    def lost(self, lost: LinkLost, link: Link, nodes: Nodes) -> None:
        """Raise `RedisDown` if the commands may have been executed and mustn't be again."""
        self.asked, self.why = None, f"{link.address}: {lost}"
        if lost.sent and not self.retry:
            raise RedisDown(f"{link.address}: {self}: {lost}", unknown=True) from None


class _Late(Exception):
    pass


def _late(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(_Late())


def _wait(replicas: int, timeout: float) -> Command:
    # 0 would be for ever.
    return ("WAIT", replicas, max(1, int(timeout * 1000)))


_SPECIAL = re.compile(r"[%:{}\s]")


def _plain(part: str) -> str:
    return _SPECIAL.sub(lambda match: f"%{ord(match[0]):02X}", part)


@asynccontextmanager
async def connect(config: Config | None = None) -> AsyncIterator[Redis]:
    """Offer a client, connected as soon as somebody calls; raise an OSError or ValueError for unusable TLS files."""
    config = config or Config()
    nodes = _nodes(config)
    signals = Signals(nodes, config)
    found = Redis(config, nodes, signals)
    error: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(signals.run, name="redis: listening")
        try:
            yield found
        except Exception as exc:  # noqa: BLE001  # raised below, not within a group
            error = exc
        finally:
            tasks.cancel_scope.cancel()
            nodes.close()
            await found.close_client()
    if error is not None:
        raise error


def _nodes(config: Config) -> Nodes:
    server = config.server()
    tls = config.secure.context() if config.secure else None
    login = Login(
        username=config.username or server.username,
        password=config.password or server.password,
        database=server.database if config.database is None else config.database,
        name=re.sub(r"[^!-~]", "-", f"{config.prefix}-{socket.gethostname()}-{os.getpid()}"),
        tls=tls,
        connect_timeout=config.connect_timeout,
        socket_timeout=config.socket_timeout,
        max_pending=config.max_pending,
    )
    return standalone(config, login)


REDIS = Service[Redis]("redis")
