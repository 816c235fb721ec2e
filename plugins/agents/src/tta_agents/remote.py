"""Calls of agents that other processes serve, as their caller sees them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Set
from typing import Any

import anyio
import msgspec

from tta_kernel import correlation_id
from tta_messages import Message, MessagesError, SendError

from .inbox import Inbox, send
from .model import AgentDeregistered, AgentError, AgentId, AgentRegistry, OnPiece, RegistryError, Reply
from .waiting import Waiting
from .wire import WINDOW, Call, Cancelled, Heard, inbox_of, nameable, queue_of

LAST_WORDS = 1.0
"""How long, in seconds, a call listens on once nobody works on it any more."""
FAREWELL = 1.0
"""How long, in seconds, a cancelled call may take to say so."""
_REFUSED: dict[SendError, tuple[str, bool]] = {
    "too_large": ("too_large", False),
    "queue_full": ("overloaded", True),
    "expired": ("timeout", True),
    "bad_address": ("not_served", True),
}


class RemoteCalls:
    """Makes calls through messages.

    ``limit`` is in seconds, for a call without a deadline, and ``limits`` by an agent's type for each call;
    every ``look_again`` seconds a call that nobody works on makes sure that somebody could.
    """

    def __init__(
        self, inbox: Inbox, registry: AgentRegistry, *, limit: float, limits: Mapping[str, float], look_again: float
    ) -> None:
        self._inbox, self._messages = inbox, inbox.messages
        self._view = View(registry, inbox.process)
        self._limit, self._limits, self._look_again = limit, limits, look_again
        self._waiting: dict[str, Waiting] = {}

    async def left(self, event: AgentDeregistered) -> None:
        """Let every waiting call make sure, now, that somebody could still answer it."""
        self._view.forget()
        for waiting in self._waiting.values():
            waiting.doubt()

    async def call(
        self, agent: AgentId, request: Any, *, key: str, attempt: int, session: str, on_piece: OnPiece | None,
        owner: str,
    ) -> Reply:  # fmt: skip
        nobody = AgentError("not_served", f"no running process serves {agent}", retryable=True)
        if not nameable(agent):
            raise nobody
        try:
            if not await self._view.serves(agent):
                raise nobody
        except RegistryError as exc:
            raise AgentError("unavailable", f"who serves {agent} is unknown: {exc}", retryable=True) from None
        # In the last instant, and without a deadline.
        left = max(anyio.current_effective_deadline() - anyio.current_time(), 0.001)
        limit = self._limits.get(agent.type, self._limit if left == math.inf else math.inf)
        limited, left = limit < left, min(limit, left)
        waiting = Waiting(self._inbox.new_id(), agent, stream=on_piece is not None)
        message = self._message(waiting, request, left, key=key, attempt=attempt, session=session, owner=owner)
        self._inbox.open()
        self._inbox.calls[waiting.id], self._waiting[waiting.id] = waiting.hear, waiting
        try:
            with anyio.move_on_after(left if limited else math.inf):
                await self._send(message, agent)
                return await self._follow(waiting, on_piece)
            raise AgentError("timeout", f"{agent} did not answer within {left:g} s", retryable=True)
        finally:
            del self._inbox.calls[waiting.id], self._waiting[waiting.id]
            if not waiting.over:
                with anyio.move_on_after(FAREWELL, shield=True):
                    await self._withdraw(waiting)

    def _message(
        self, waiting: Waiting, request: Any, left: float, *, key: str, attempt: int, session: str, owner: str
    ) -> Message:
        try:
            raw = msgspec.Raw(msgspec.msgpack.encode(request))
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise AgentError("bad_request", f"for {waiting.agent}, it cannot travel") from None
        call = Call(key, raw, math.ceil(left * 1000), attempt, session, waiting.stream)
        return Message.to(
            queue_of(waiting.agent), Call.TYPE, call, id=waiting.id, sender=self._inbox.process, owner=owner,
            correlation_id=correlation_id.get(), reply_to=inbox_of(self._inbox.process), ttl=left,
        )  # fmt: skip

    async def _send(self, message: Message, agent: AgentId) -> None:
        try:
            [result] = await self._messages.send(message)
        except MessagesError as exc:
            raise AgentError("unavailable", f"no message to {agent} can be sent: {exc}", retryable=True) from None
        if result.error and result.error != "not_replicated":
            code, retryable = _REFUSED.get(result.error, ("bad_request", False))
            raise AgentError(code, f"for {agent}: {result.detail or result.error}", retryable=retryable)

    async def _follow(self, waiting: Waiting, on_piece: OnPiece | None) -> Reply:
        while True:
            while on_piece is not None and (text := waiting.next_piece()) is not None:
                try:
                    await on_piece(text)
                except Exception as exc:  # noqa: BLE001 - as in a call within the process
                    raise AgentError("failed", f"the reader raised {type(exc).__name__}", retryable=True) from None
            if waiting.unreported >= WINDOW // 2:
                heard = Heard(waiting.id, waiting.serving, waiting.report())
                await send(self._messages, self._inbox.message(waiting.process, heard, ttl=60.0), patience=60.0)
                continue
            if waiting.error is not None:
                raise waiting.error
            if waiting.reply is not None and not waiting.pending:
                return waiting.reply
            with anyio.move_on_after(self._look_again):
                if not await waiting.changed():
                    continue
            if await self._view.forsaken(waiting.agent, waiting.process):
                # What it said before it left may be on its way still.
                with anyio.move_on_after(LAST_WORDS):
                    await waiting.changed()
                    continue
                raise AgentError("not_served", f"nobody serves {waiting.agent} any more", retryable=True)

    async def _withdraw(self, waiting: Waiting) -> None:
        """Tell whoever works on it that nobody waits; one who takes it this instant is told by the inbox."""
        if waiting.serving:
            signal = Cancelled(waiting.id, waiting.serving)
            await send(self._messages, self._inbox.message(waiting.process, signal, ttl=60.0), patience=FAREWELL)
        else:
            queue = queue_of(waiting.agent)
            try:
                if not await self._messages.cancel(queue, waiting.id):
                    # Over in the same moment as its caller's patience: nobody wants it as a dead letter, either.
                    await self._messages.purge_dead(queue, waiting.id)
            except MessagesError:
                return  # Its time to live ends it.


class View:
    """What other processes serve, looked at again when it is older than a second."""

    def __init__(self, registry: AgentRegistry, process: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry, self._process, self._clock = registry, process, clock
        self._processes: Set[str] = frozenset()
        self._there: Set[AgentId] = frozenset()
        self._seen, self._lock = -math.inf, anyio.Lock()

    async def serves(self, agent: AgentId) -> bool:
        """Whether somebody else serves an address; a no is always fresh."""
        if self._clock() - self._seen >= 1.0 or agent not in self._there:
            await self._look()
        return agent in self._there

    def forget(self) -> None:
        """Look again before the next answer."""
        self._seen = -math.inf

    async def forsaken(self, agent: AgentId, process: str) -> bool:
        """Whether neither ``process``, which works on a call, is there any more, nor anybody to follow it.

        While the registry is away, everybody is believed to be there.
        """
        try:
            await self._look(max_age=1.0)
        except RegistryError:
            return False
        return process not in self._processes and agent not in self._there

    async def _look(self, max_age: float = 0.0) -> None:
        asked = self._clock() - max_age
        async with self._lock:
            if self._seen < asked:  # Otherwise somebody has looked while this one waited.
                cards = await self._registry.list()
                others = [card.id for card in cards if card.shared and card.process != self._process]
                self._there = {*others, *(AgentId(id.type) for id in others)}
                self._processes, self._seen = {card.process for card in cards}, self._clock()
