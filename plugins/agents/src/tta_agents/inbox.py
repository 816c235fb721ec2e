"""The queue in which a process hears of calls that it has made or taken, and how it writes to others."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from tta_kernel import Context, correlation_id
from tta_messages import FAILED, FORGOTTEN, Delivery, Failure, Message, MessageDied, Messages, Priority, ReplyQueue

from .model import AgentId
from .sending import send
from .wire import (
    SIGNAL_TTL,
    SIGNALS,
    Accepted,
    Call,
    Cancelled,
    Credit,
    Died,
    Present,
    Probe,
    Signal,
    UndoOffered,
    UndoTaken,
    caller_of,
    inbox_of,
    queue_of,
)  # fmt: skip

OnSignal = Callable[[Signal], None]


class Inbox:
    """Reads a process's queue, and hands each signal to the pending call or the execution that it is about.

    What is said of a call that nobody here waits for any more is answered with `Cancelled`.
    """

    def __init__(self, ctx: Context, messages: Messages, process: str) -> None:
        self.messages, self.process = messages, process
        self.calls: dict[str, OnSignal] = {}
        self.executions: dict[str, OnSignal] = {}
        self._ctx, self._log = ctx, ctx.log
        self._queue = ReplyQueue(messages, inbox_of(process), log=ctx.log)
        self._open = False
        self._prefix, self._count = secrets.token_hex(4), 0

    def new_id(self) -> str:
        """Return a name that no other call or execution has."""
        self._count += 1
        return f"{self.process}:{self._prefix}{self._count:x}"

    def open(self) -> None:
        """Begin to read, once."""
        if not self._open:
            self._open = True
            self._ctx.start_soon(self._queue.read, self._take)

    async def close(self) -> None:
        """Leave no queue behind; raises `MessagesError`, and then it ends by its time to live."""
        if self._open:
            await self._queue.close()

    def message(self, process: str, signal: Signal, *, ttl: float, owner: str = "") -> Message:
        """Return the message that tells ``process`` of something."""
        urgent = isinstance(signal, Cancelled | Credit | UndoTaken | Present)
        return Message.to(
            inbox_of(process), signal.TYPE, signal, sender=self.process, ttl=max(ttl, 1.0), owner=owner,
            correlation_id=correlation_id.get(), priority=Priority.HIGH if urgent else Priority.NORMAL,
        )  # fmt: skip

    async def on_died(self, event: MessageDied) -> None:
        """Tell the caller of a call that nobody gets any more; of one that took too long it knows."""
        process = caller_of(event.id)
        is_call = event.message_type in (Call.TYPE, "") and event.queue.startswith(queue_of(AgentId("")))
        if is_call and process and event.reason != "expired":
            await send(self.messages, self.message(process, Died(event.id, ""), ttl=SIGNAL_TTL), patience=1.0)

    async def _take(self, deliveries: Sequence[Delivery]) -> None:
        answers = [back for delivery in deliveries if (back := self._dispatch(delivery.message)) is not None]
        if answers:
            await send(self.messages, *answers, patience=1.0)

    def _on_bounce(self, message: Message) -> None:
        """End a call that was deleted with its person: of that nobody publishes anything."""
        call = self.calls.get(message.correlation_id)
        with suppress(msgspec.DecodeError):
            if call is not None and message.decode(Failure).reason == FORGOTTEN:
                call(Died(message.correlation_id, "", forgotten=True))

    def _dispatch(self, message: Message) -> Message | None:
        """Hand a signal on; return what its sender is to hear at once, such as that nobody waits for a call."""
        if message.type == FAILED:
            self._on_bounce(message)
            # The store's own word for a call that died. `Died` says the same, and of a call that nobody can read, too:
            # of that one the store no longer knows whom to answer, but its id names the caller.
            return None
        kind = SIGNALS.get(message.type)
        try:
            if kind is None:
                raise ValueError("no signal")
            signal = message.decode(kind)
        except (msgspec.DecodeError, ValueError, RecursionError) as exc:
            self._log.warning("an unreadable %s from %s is left out: %s", message.type, message.sender, exc)
            return None
        if isinstance(signal, Credit | UndoTaken | Present | Cancelled):
            on_signal = self.executions.get(signal.execution)
        else:
            on_signal = self.calls.get(signal.call)
        if on_signal is not None:
            on_signal(signal)
            if isinstance(signal, Probe):
                return self.message(signal.process, Present(signal.call, signal.execution), ttl=SIGNAL_TTL)
        elif isinstance(signal, Accepted | UndoOffered | Probe):
            return self.message(signal.process, Cancelled(signal.call, signal.execution), ttl=SIGNAL_TTL)
        return None
