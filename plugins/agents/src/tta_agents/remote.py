"""Calls of agents that other processes serve, as their caller sees them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import anyio
import msgspec

from tta_kernel import correlation_id
from tta_messages import Message, MessagesError, SendError

from .context import CallContext
from .directory import AgentDirectory
from .inbox import Inbox
from .listener import Listener
from .model import AgentDeregistered, AgentError, AgentId, AgentRegistry, RegistryError, Reply, Undo
from .pending import PendingCall
from .sending import send
from .wire import SIGNAL_TTL, WINDOW, Call, Cancelled, Credit, Signal, UndoTaken, inbox_of, nameable, queue_of

ABANDONED_FOR = 1.0
"""How long, in seconds, a call listens on once nobody works on it any more."""
WITHDRAWAL = 1.0
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
    every ``poll_interval`` seconds in which nothing is heard of it a call makes sure that somebody could answer it.
    """

    def __init__(
        self, inbox: Inbox, registry: AgentRegistry, *, limit: float, limits: Mapping[str, float], poll_interval: float
    ) -> None:
        self._inbox, self._messages = inbox, inbox.messages
        self._directory = AgentDirectory(registry, inbox.process)
        self._limit, self._limits, self._poll_interval = limit, limits, poll_interval
        self._pending: dict[str, PendingCall] = {}

    async def on_deregistered(self, event: AgentDeregistered) -> None:
        """Let every pending call make sure, now, that somebody could still answer it."""
        self._directory.invalidate()
        for pending in self._pending.values():
            pending.recheck()

    async def call(self, agent: AgentId, request: Any, context: CallContext) -> Reply:
        """Ask; ``context`` says what for, and its listener is told how the work goes on."""
        nobody = AgentError("not_served", f"no running process serves {agent}", retryable=True)
        if not nameable(agent):
            raise nobody
        try:
            if not await self._directory.serves(agent):
                raise nobody
        except RegistryError as exc:
            raise AgentError("unavailable", f"who serves {agent} is unknown: {exc}", retryable=True) from None
        # A message without time left would be none; its scope ends the call anyway.
        left = max(anyio.current_effective_deadline() - anyio.current_time(), 0.001)
        limit = self._limits.get(agent.type, self._limit if left == math.inf else math.inf)
        limited = limit < left  # Then nobody's scope ends the call in time, and it is done here.
        left = min(limit, left)
        pending = PendingCall(self._inbox.new_id(), agent, stream=context.listener.on_piece is not None)
        message = self._message(pending, request, left, context)
        self._inbox.open()
        self._inbox.calls[pending.id] = pending.on_signal
        self._pending[pending.id] = pending
        try:
            with anyio.move_on_after(left if limited else math.inf):
                await self._send(message, agent)
                return await self._follow(pending, context.listener)
            raise AgentError("timeout", f"{agent} did not answer within {left:g} s", retryable=True)
        finally:
            del self._inbox.calls[pending.id], self._pending[pending.id]
            if not pending.over:
                with anyio.move_on_after(WITHDRAWAL, shield=True):
                    await self._withdraw(pending)

    def _message(self, pending: PendingCall, request: Any, left: float, context: CallContext) -> Message:
        try:
            raw = msgspec.Raw(msgspec.msgpack.encode(request))
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise AgentError("bad_request", f"for {pending.agent}, it cannot travel") from None
        listener = context.listener
        call = Call(
            context.key, raw, math.ceil(left * 1000), context.attempt, context.session, stream=pending.stream,
            released=context.released, beats=listener.on_beat is not None, undos=listener.on_undo is not None,
            probed=True,
        )  # fmt: skip
        return Message.to(
            queue_of(pending.agent), Call.TYPE, call, id=pending.id, sender=self._inbox.process, owner=context.owner,
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

    async def _follow(self, pending: PendingCall, listener: Listener) -> Reply:
        while True:
            if pending.has_beaten():
                listener.beat()
            while (more := pending.next()) is not None:
                if isinstance(more, Undo):
                    execution, process = pending.execution, pending.process
                    await listener.undo(more)
                    await self._signal(process, UndoTaken(pending.id, execution, more.number), patience=SIGNAL_TTL)
                else:
                    await listener.piece(more)
            # Half a window early, so that the agent need not stop while the credit is on its way.
            if pending.uncredited >= WINDOW // 2:
                credit = Credit(pending.id, pending.execution, pending.credit())
                await self._signal(pending.process, credit, patience=SIGNAL_TTL)
                continue
            if pending.error is not None:
                raise pending.error
            if pending.reply is not None and not pending.has_more:
                return await listener.settle(pending.reply)
            with anyio.move_on_after(self._poll_interval):
                if not await pending.changed():
                    continue
            if await self._directory.is_abandoned(pending.agent, pending.process):
                # What was said before the process left may be on its way still.
                with anyio.move_on_after(ABANDONED_FOR):
                    await pending.changed()
                    continue
                raise AgentError("not_served", f"nobody serves {pending.agent} any more", retryable=True)

    async def _withdraw(self, pending: PendingCall) -> None:
        """Tell the process that works on it that nobody waits; one that takes it this instant is told by the inbox."""
        if pending.execution:
            cancelled = Cancelled(pending.id, pending.execution)
            await self._signal(pending.process, cancelled, patience=WITHDRAWAL)
        else:
            queue = queue_of(pending.agent)
            try:
                if not await self._messages.cancel(queue, pending.id):
                    # Over in the same moment as its caller's patience: nobody wants it as a dead letter, either.
                    await self._messages.purge_dead(queue, pending.id)
            except MessagesError:
                return  # Its time to live ends it.

    async def _signal(self, process: str, signal: Signal, *, patience: float) -> None:
        await send(self._messages, self._inbox.message(process, signal, ttl=SIGNAL_TTL), patience=patience)
