"""Getting commands answered: elsewhere when a key has moved, later when a server is away, never twice without leave."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import anyio
from redis.exceptions import ResponseError

from tta_kernel import check_duration

from .config import Config
from .connection import Connection, Reply, pack, running_loop
from .errors import ConnectionLost, NoAnswer, RedisDown, Refused, Unreachable
from .nodes import Nodes, backoff
from .routing import name_of

Command = Sequence[Any]
# Errors that say: not executed, and another time or another server will.
_TRY_LATER = frozenset({"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY"})
_NOT_THE_MASTER = frozenset({"READONLY", "MASTERDOWN", "CLUSTERDOWN"})
_MAX_LOADS = 4
"""How often one pipeline may send a script's source: a Cluster may send it from one server without it to the next."""
# Redis 6.2 wraps what a script's command was told, twice if the command wasn't even begun.
_CODE = re.compile(r"(?:ERR Error running script \(call to \w+\): (?:@user_script: ?\d+: ){1,2}-?)?([A-Z]+)\b")


def _waits() -> bool:
    # Not above: a program that has this client within it may do without all that `tta` needs.
    from tta_program.waiting import waits_for_servers

    return waits_for_servers.get()


class Pipeline:
    """One or more commands that travel together, and what has been answered so far.

    ``retry`` says that they may be executed twice; ``wait`` is how many seconds the WAIT among them may take.
    """

    __slots__ = (
        "asked", "commands", "connection", "errors", "loads", "replies", "retry", "slot", "sources", "todo", "wait",
        "why",
    )  # fmt: skip

    def __init__(self, commands: Sequence[Command], slot: int, *, retry: bool, wait: float = 0.0) -> None:
        self.commands = commands
        self.slot = slot
        self.retry = retry
        self.wait = wait
        self.todo: Sequence[int] = range(len(commands))
        """The commands to be sent next, by their number."""
        self.replies: list[Reply] = [None] * len(commands)
        self.errors: list[int] = []
        """The commands that were answered by an error, by their number."""
        self.sources: dict[str, None] = {}
        """Scripts to be loaded before the commands; a dict, since that is a set with an order."""
        self.loads = 0
        self.asked: Connection | None = None
        """Where ASK says that the commands are to be sent, behind an ASKING each."""
        self.connection: Connection | None = None
        """The one that they were last sent on."""
        self.why = ""
        """What kept them from being answered."""

    def __str__(self) -> str:
        more = len(self.commands) - 1
        return name_of(self.commands[0]) + (f" and {more} more" if more else "")

    def payload(self) -> tuple[bytes, int]:
        """Return what to write, and how many replies that has."""
        if not self.sources and self.asked is None:
            todo = self.todo
            return b"".join([pack(tuple(self.commands[number])) for number in todo]), len(todo)
        parts = [pack(("SCRIPT", "LOAD", source)) for source in self.sources]
        for number in self.todo:
            if self.asked is not None:
                parts.append(pack(("ASKING",)))
            parts.append(pack(tuple(self.commands[number])))
        return b"".join(parts), len(parts)

    def own(self, replies: list[Reply]) -> list[Reply]:
        """Return the commands' own replies, without those of SCRIPT LOAD and ASKING."""
        replies = replies[len(self.sources) :]
        return replies[1::2] if self.asked is not None else replies

    def take(self, replies: list[Reply]) -> None:
        """Keep replies, and note which are errors."""
        for number, reply in zip(self.todo, replies, strict=True):
            self.replies[number] = reply
        self.errors = [number for number, reply in enumerate(self.replies) if isinstance(reply, ResponseError)]
        self.sources = {}

    def lose(self, lost: ConnectionLost, connection: Connection, nodes: Nodes) -> None:
        """Note that a connection ended; raise `RedisDown` if what may have been executed mustn't be again."""
        self.asked = None
        self.why = f"{connection.address}: {lost}"
        nodes.distrust(connection)
        if lost.sent and not self.retry:
            raise RedisDown(f"{connection.address}: {self}: {lost}", unknown=True) from None


class Dispatcher:
    """Gets pipelines answered within their time."""

    def __init__(self, nodes: Nodes, config: Config) -> None:
        self._nodes = nodes
        self._config = config
        self._loop = running_loop()
        self.sources: dict[str, str] = {}
        """Scripts by their SHA-1, for servers that don't know them."""
        self.calls = 0

    async def execute(self, pipeline: Pipeline, limit: float | None) -> list[Reply]:
        """Return the reply to each command, errors among them; ``limit`` is in seconds, else the config's."""
        if limit is not None:
            check_duration("timeout", limit, positive=True)
        self.calls += len(pipeline.commands)
        silence = self._config.socket_timeout + pipeline.wait
        if limit is None:
            limit = self._config.command_timeout + pipeline.wait
        deadline = self._loop.time() + limit
        # Nearly all go this way: a connection is there, and the answer is no error.
        connection = None if pipeline.wait else self._nodes.ready(pipeline.slot)
        if connection is not None:
            try:
                replies = await self._send(connection, pipeline, deadline, silence)
                if not [reply for reply in replies if isinstance(reply, ResponseError)]:
                    return replies
                pipeline.take(replies)
            except ConnectionLost as lost:
                pipeline.lose(lost, connection, self._nodes)
        return await self._retry(pipeline, deadline, silence, limit)

    async def _retry(self, pipeline: Pipeline, deadline: float, silence: float, limit: float) -> list[Reply]:
        """Get answered what isn't yet: elsewhere, later, or not at all."""
        retry = self._config.retry
        for attempt in range(retry.times + 1):
            connection = None
            with anyio.move_on_after(deadline - self._loop.time()):
                try:
                    if pipeline.errors and not await self._prepare_retry(pipeline, attempt):
                        return pipeline.replies
                    connection = pipeline.asked or await self._nodes.reach(pipeline.slot, waits=pipeline.wait > 0)
                except (Unreachable, ConnectionLost) as exc:
                    pipeline.why = str(exc)
                    if isinstance(exc, Unreachable) and not _waits():
                        break
                    continue
                except Refused as exc:
                    raise RedisDown(str(exc)) from None
            if connection is None:
                break
            try:
                pipeline.take(await self._send(connection, pipeline, deadline, silence))
            except ConnectionLost as lost:
                pipeline.lose(lost, connection, self._nodes)
            else:
                if not pipeline.errors:
                    return pipeline.replies
        if pipeline.errors:
            return pipeline.replies
        raise RedisDown(f"{pipeline}: {pipeline.why or f'no answer within {limit:g} s'}")

    async def _prepare_retry(self, pipeline: Pipeline, attempt: int) -> bool:
        """Prepare for sending failed commands again; False where their errors are the answer."""
        asked_before = pipeline.asked
        sent_there: Sequence[int] = pipeline.todo if asked_before else ()
        pipeline.asked = None
        later = attempt > 2
        # During a slot's move some keys are still at the old server and some at the new one already.
        here: list[int] = []
        there: list[int] = []
        for number in pipeline.errors:
            error = str(pipeline.replies[number])
            match = _CODE.match(error)
            code = match[1] if match else ""
            if code in ("MOVED", "ASK"):
                assert pipeline.connection is not None
                found = await self._nodes.redirect(error, pipeline.connection, waits=pipeline.wait > 0)
                pipeline.asked = found or pipeline.asked
            elif code in _TRY_LATER:
                later = True
                if code in _NOT_THE_MASTER and pipeline.connection is not None:
                    self._nodes.distrust(pipeline.connection)
            elif code == "NOSCRIPT" and pipeline.loads < _MAX_LOADS and self._source(pipeline.commands[number]):
                pipeline.sources[self._source(pipeline.commands[number])] = None
            else:
                continue
            if code == "ASK" or (code == "NOSCRIPT" and number in sent_there):
                there.append(number)
            else:
                here.append(number)
            if code != "ASK" or not pipeline.why:  # Where it was sent says less than what it was told there.
                pipeline.why = error
        if pipeline.sources:
            pipeline.loads += 1
        if there and pipeline.asked is None:
            pipeline.asked = asked_before
        # What is still here would look missing there: first the ones, then the others.
        again = there or here
        if pipeline.wait:
            # A script and its WAIT stay together: WAIT counts from the last write of its own connection.
            again = [*range(len(pipeline.commands))] if 0 in again else []
        if not again:
            return False
        pipeline.todo = again
        pipeline.errors = []
        if later:
            await anyio.sleep(backoff(attempt + 1, self._config.retry))
        return True

    def _source(self, command: Command) -> str:
        sha = command[1]
        return self.sources.get(sha, "") if name_of(command) == "EVALSHA" else ""

    async def _send(
        self, connection: Connection, pipeline: Pipeline, deadline: float, silence: float
    ) -> list[Reply]:  # fmt: skip
        payload, count = pipeline.payload()
        pipeline.connection = connection
        try:
            # A cancel scope for each command would cost more than the command.
            replies = await connection.send(payload, count, silence, deadline)
        except NoAnswer:
            why = f"{connection.address}: {pipeline}: no answer in time"
            raise RedisDown(why, unknown=not pipeline.retry) from None
        return pipeline.own(replies if count > 1 else [replies])
