"""The client that the backends share: many callers, few connections, and never an endless wait."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
from redis.exceptions import ResponseError

from tta_kernel import Service, check_count, check_duration

from .config import Address, Config
from .connection import Connection
from .deployments import nodes_of
from .dispatch import Command, Dispatcher, Pipeline
from .errors import RedisDown
from .nodes import Nodes
from .routing import blocks, first_key, name_of, read_only, slot_of, tag_of
from .scripts import Script
from .signals import Signal, Signals

if TYPE_CHECKING:
    import redis.asyncio

    from .plain import PlainClient

_MOST_REPLICAS = 1000
REFUSALS = ("OOM", "MISCONF", "NOREPLICAS")
"""How answers begin that refuse all writes."""


class Redis:
    """Commands to Redis, written together and answered in order; replies are bytes.

    What a call may take in all is ``timeout``, else the config's ``command_timeout``. A call that
    was certainly not executed is tried again within that time. One that may have been executed is sent
    again only if it is known to only read, or the caller says ``retry=True``; otherwise it ends
    in `RedisDown` with ``unknown``. A cancelled call may have been executed. Where `waits_for_servers` of
    ``tta_program.waiting`` says so, a call ends as soon as no server can be reached.
    """

    def __init__(self, config: Config, nodes: Nodes, signals: Signals) -> None:
        self.prefix = config.prefix
        self.config = config
        self._nodes = nodes
        self._signals = signals
        self._dispatcher = Dispatcher(nodes, config)
        self._clustered = config.cluster is not None
        self._plain: PlainClient | None = None

    def key(self, *parts: str, tag: str = "") -> str:
        """Return ``prefix:part:{tag}:part…``; keys with the same tag share a Cluster's slot.

        What would change a key's meaning (``%``, ``:``, braces) is written as in a URL.
        """
        found = [self.prefix, *map(_escaped, parts)]
        if tag:
            found.insert(min(2, len(found)), f"{{{_escaped(tag)}}}")
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
        pipeline = Pipeline([command], self._slot([command], key), retry=retry or read_only(command))
        (reply,) = await self._dispatcher.execute(pipeline, timeout)
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
        pipeline = Pipeline(commands, self._slot(commands, key), retry=retry or all(map(read_only, commands)))
        return await self._dispatcher.execute(pipeline, timeout)

    def script(self, source: str) -> Script:
        """Return a Lua script to be called like a function; servers get its source once."""
        script = Script(source, self._run)
        self._dispatcher.sources[script.sha] = source
        return script

    async def wait(self, replicas: int, timeout: float, *, key: str | bytes) -> int:  # noqa: ASYNC109  # WAIT's own
        """Wait until ``replicas`` have all that the master of ``key`` was told so far; return how many have.

        After ``timeout`` seconds it returns what there is.
        """
        check_count("replicas", replicas, most=_MOST_REPLICAS)
        check_duration("timeout", timeout)
        # Replicas hear writes in order: whoever has this one has those before it.
        plain = key.decode() if isinstance(key, bytes) else key
        tag = re.search(r"\{([^}]+)\}", plain)
        marker = f"{self.prefix}:wait:{{{tag[1] if tag else plain}}}"
        commands = [("SET", marker, "", "PX", 1000), _wait(replicas, timeout)]
        pipeline = Pipeline(commands, self._slot([], marker), retry=True, wait=timeout)
        reply, count = await self._dispatcher.execute(pipeline, None)
        for each in (reply, count):
            if isinstance(each, ResponseError):
                raise each
        return int(count)

    def listen(self, *channels: str, buffer: int = 1000) -> AbstractAsyncContextManager[AsyncIterator[Signal | None]]:
        """Hear what is published on channels, from the moment of entering: ``async with`` it, then ``async for``.

        Yields ``(channel, payload)``, or None where something may have been missed: after a reconnect, or
        when more than ``buffer`` lay unread. Then look for yourself.
        """
        check_count("buffer", buffer)
        return self._signals.listen(channels, buffer)

    def subscribe(
        self, *channels: str, callback: Callable[[Signal | None], None]
    ) -> AbstractAsyncContextManager[None]:  # fmt: skip
        """Call back with what `listen` would yield, without another turn of the event loop; it must be quick."""
        return self._signals.subscribe(channels, callback)

    @property
    def client(self) -> redis.asyncio.Redis | redis.asyncio.RedisCluster:
        """redis-py's own client, with the same limits, for what isn't offered here, such as blocking commands."""
        if self._plain is None:
            from .plain import PlainClient

            self._plain = PlainClient(self.config)
        return self._plain.client

    @property
    def server(self) -> Mapping[str, Any]:
        """What a connected server says of itself: ``server``, ``version``, ``mode``, ``role``; empty if none is."""
        return next((connection.greeting for connection in self._nodes.connections()), {})

    def connections(self) -> Sequence[Connection]:
        """Return the connections of now."""
        return self._nodes.connections()

    async def ping(self, limit: float) -> Mapping[str, float | str]:
        """Ask each master for a sign of life; by address, how many seconds it took, or why there was none."""
        found: dict[str, float | str] = {}
        for name, (seconds, reply) in (await self._ask_masters(lambda slot: ("PING",), limit)).items():
            if isinstance(reply, RedisDown):
                found[name] = reply.reason
            else:
                found[name] = str(reply) if isinstance(reply, ResponseError) else seconds
        return found

    async def refusals(self, limit: float) -> Mapping[str, str]:
        """Return which masters take no writes, by address, and why: no memory, a full disk, too few replicas."""

        def write(slot: int) -> Command:
            return ("SETRANGE", self.key("health", tag=tag_of(slot)), 0, b"")  # It changes nothing.

        answers = await self._ask_masters(write, limit)
        found = {name: str(reply) for name, (_, reply) in answers.items() if isinstance(reply, ResponseError)}
        return {name: why for name, why in found.items() if why.startswith(REFUSALS)}

    async def _ask_masters(
        self, command: Callable[[int], Command], limit: float
    ) -> Mapping[str, tuple[float, Any]]:  # fmt: skip
        """Send each master a command; by address, how many seconds it took, and the answer, or why there was none."""
        found: dict[str, tuple[float, Any]] = {}

        async def ask(address: Address | None, slot: int) -> None:
            before = anyio.current_time()
            try:
                (reply,) = await self._dispatcher.execute(Pipeline([command(slot)], slot, retry=True), limit)
            except RedisDown as exc:
                reply = exc
            found[str(address or "?")] = anyio.current_time() - before, reply

        async with anyio.create_task_group() as tasks:
            for address, slot in self._nodes.masters():
                tasks.start_soon(ask, address, slot)
        return found

    def counts(self) -> Mapping[str, int]:
        """Return what is counted, by the names of the plugin's figures."""
        connections = self.connections()
        return {
            "redis.calls": self._dispatcher.calls,
            "redis.connections": len(connections),
            "redis.pending": sum(each.pending for each in connections),
            "redis.listeners": self._signals.listeners,
            "redis.listening_reconnects": self._signals.reconnects,
            "redis.scripts": len(self._dispatcher.sources),
        }

    async def close_client(self) -> None:
        """Close the plain client, if there is one."""
        if self._plain is not None:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await self._plain.aclose()

    def _slot(self, commands: Sequence[Command], key: str | bytes | None) -> int:
        for command in commands:
            if blocks(command):
                name = name_of(command)
                raise ValueError(f"{name} holds up all other callers: use listen, a script's `replicas`, or `client`")
            if key is None and self._clustered:
                key = first_key(command)
        return slot_of(key) if self._clustered else -1

    async def _run(
        self, sha: str, keys: Sequence[Any], args: Iterable[Any], *, limit: float | None, retry: bool,
        replicas: int, replica_timeout: float,
    ) -> Any:  # fmt: skip
        command = ("EVALSHA", sha, len(keys), *keys, *args)
        slot = slot_of(first_key(command)) if self._clustered else -1
        check_count("replicas", replicas, least=0, most=_MOST_REPLICAS)
        check_duration("replica_timeout", replica_timeout)
        if not replicas:
            (reply,) = await self._dispatcher.execute(Pipeline([command], slot, retry=retry), limit)
            if isinstance(reply, ResponseError):
                raise reply
            return reply
        pipeline = Pipeline([command, _wait(replicas, replica_timeout)], slot, retry=retry, wait=replica_timeout)
        reply, count = await self._dispatcher.execute(pipeline, limit)
        if isinstance(reply, ResponseError):
            raise reply
        if isinstance(count, ResponseError):  # The master is none any more, in the middle of waiting.
            raise RedisDown(f"EVALSHA: {count}", unknown=True)
        return reply, int(count)


def _wait(replicas: int, timeout: float) -> Command:
    # 0 would be for ever.
    return ("WAIT", replicas, max(1, int(timeout * 1000)))


_SPECIAL = re.compile(r"[%:{}\s]")


def _escaped(part: str) -> str:
    return _SPECIAL.sub(lambda match: f"%{ord(match[0]):02X}", part)


@asynccontextmanager
async def connect(config: Config | None = None) -> AsyncIterator[Redis]:
    """Offer a client, connected as soon as somebody calls; raise an OSError or ValueError for unusable TLS files."""
    config = config or Config()
    nodes = nodes_of(config)
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


REDIS = Service[Redis]("redis")
