"""Getting answers: elsewhere when a key has moved, later when a server is away, never twice without leave."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import anyio
from redis.exceptions import ResponseError

from .config import Config
from .errors import LinkLost, RedisDown, Refused, Unreachable
from .link import Link, Reply, pack, running_loop
from .nodes import Nodes, pause
from .routing import name_of

Command = Sequence[Any]
# Answers that say: not executed, and another time or another server will.
_LATER = frozenset({"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY"})
_LOADS = 4
"""How often one call may send a script's source."""
_ELSEWHERE = frozenset({"READONLY", "MASTERDOWN", "CLUSTERDOWN"})
# Redis 6.2 wraps what a script's command was told, twice if the command wasn't even begun.
_CODE = re.compile(r"(?:ERR Error running script \(call to \w+\): (?:@user_script: ?\d+: ){1,2}-?)?([A-Z]+)\b")


class Call:
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
        return name_of(self.commands[0]) + (f" and {more} more" if more else "")

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
        self.errors = [number for number, reply in enumerate(self.replies) if isinstance(reply, ResponseError)]
        self.sources = {}

    def lost(self, lost: LinkLost, link: Link, nodes: Nodes) -> None:
        """Raise `RedisDown` if the commands may have been executed and mustn't be again."""
        self.asked, self.why = None, f"{link.address}: {lost}"
        nodes.distrust(link)
        if lost.sent and not self.retry:
            raise RedisDown(f"{link.address}: {self}: {lost}", unknown=True) from None


class Caller:
    """Gets calls answered within their time."""

    def __init__(self, nodes: Nodes, config: Config) -> None:
        self._nodes, self._config = nodes, config
        self._loop = running_loop()
        self.sources: dict[str, str] = {}
        """Scripts by their SHA-1, for servers that don't know them."""

    async def answers(self, call: Call, limit: float | None) -> list[Reply]:
        patience = self._config.socket_timeout + call.waits
        if limit is None:
            limit = self._config.command_timeout + call.waits
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

    async def _persist(self, call: Call, deadline: float, patience: float, limit: float) -> list[Reply]:
        """Answer what is unanswered: elsewhere, later, or not at all."""
        retry = self._config.retry
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

    async def _mended(self, call: Call, attempt: int) -> bool:
        """Prepare for sending failed commands again; False where their errors are the answer."""
        before, call.asked, later = call.asked, None, attempt > 2
        asked_before: Sequence[int] = call.todo if before else ()
        here: list[int] = []
        there: list[int] = []
        for number in call.errors:
            error = str(call.replies[number])
            match = _CODE.match(error)
            code = match[1] if match else ""
            if code in ("MOVED", "ASK"):
                assert call.link is not None
                call.asked = await self._nodes.redirect(error, call.link, waits=call.waits > 0) or call.asked
            elif code in _LATER:
                later = True
                if code in _ELSEWHERE and call.link is not None:
                    self._nodes.distrust(call.link)
            elif code == "NOSCRIPT" and call.loads < _LOADS and (source := self._source(call.commands[number])):
                call.sources[source] = None
            else:
                continue
            (there if code == "ASK" or (code == "NOSCRIPT" and number in asked_before) else here).append(number)
            if code != "ASK" or not call.why:  # Where it was sent says less than what it was told there.
                call.why = error
        call.loads += bool(call.sources)
        if there and call.asked is None:
            call.asked = before
        # What is still here would look missing there: first the ones, then the others.
        again = there or here
        if call.waits:  # A script and its WAIT stay together.
            again = [*range(len(call.commands))] if 0 in again else []
        if not again:
            return False
        call.todo, call.errors = again, []
        if later:
            await anyio.sleep(pause(attempt + 1, self._config.retry))
        return True

    def _source(self, command: Command) -> str:
        sha = command[1]
        return self.sources.get(sha, "") if name_of(command) == "EVALSHA" else ""

    async def _through(self, link: Link, call: Call, deadline: float, patience: float) -> list[Reply]:
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


class _Late(Exception):
    pass


def _late(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(_Late())
