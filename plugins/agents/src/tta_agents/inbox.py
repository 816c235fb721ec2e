"""The queue in which a process hears of calls that it has made or taken, and how it writes to others."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence

import anyio
import msgspec

from tta_kernel import Context, correlation_id
from tta_messages import FAILED, Delivery, Message, MessageDied, Messages, MessagesError, Priority, QueueSettings

from .leases import Backoff
from .model import AgentId
from .sending import send
from .wire import SIGNALS, Accepted, Call, Cancelled, Credit, Died, Signal, caller_of, inbox_of, queue_of

WAIT = 5.0
"""How long, in seconds, one receive waits; cancelling it is quicker."""
SHUTDOWN_TIMEOUT = 2.0
"""How long, in seconds, each farewell may take: giving calls back, leaving the registry, taking queues away."""
SETTINGS = QueueSettings(retries=1, ttl=600.0, dead_limit=0, dead_ttl=60.0, audit_limit=100, visibility=60.0)
"""What is in an inbox is worth nothing once its reader has gone, so none of it is kept as a dead letter."""

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
            self._ctx.start_soon(self._read)

    async def close(self) -> None:
        """Leave nothing behind but the settings, for a while: what is on its way still is to end as the rest does."""
        if self._open:
            queue = inbox_of(self.process)
            await self.messages.purge(queue)
            await self.messages.drop(queue)
            await self.messages.configure(queue, SETTINGS)

    def message(self, process: str, signal: Signal, *, ttl: float, owner: str = "") -> Message:
        """Return the message that tells ``process`` of something."""
        urgent = isinstance(signal, Cancelled | Credit)
        return Message.to(
            inbox_of(process), signal.TYPE, signal, sender=self.process, ttl=max(ttl, 1.0), owner=owner,
            correlation_id=correlation_id.get(), priority=Priority.HIGH if urgent else Priority.NORMAL,
        )  # fmt: skip

    async def on_died(self, event: MessageDied) -> None:
        """Tell the caller of a call that nobody gets any more; of one that took too long it knows."""
        process = caller_of(event.id)
        is_call = event.message_type in (Call.TYPE, "") and event.queue.startswith(queue_of(AgentId("")))
        if is_call and process and event.reason != "expired":
            await send(self.messages, self.message(process, Died(event.id, ""), ttl=60.0), patience=1.0)

    async def _read(self) -> None:
        queue = inbox_of(self.process)
        done: Sequence[Delivery] = ()
        backoff = Backoff(self._log, "agents hear nothing of other processes")
        configure_at = -math.inf
        while True:
            try:
                if anyio.current_time() >= configure_at:
                    await self.messages.configure(queue, SETTINGS)
                    configure_at = anyio.current_time() + renewal(SETTINGS)
                done = await self.messages.receive(queue, limit=100, wait=WAIT, done=done)
            except MessagesError as exc:
                done, configure_at = (), -math.inf  # The store may have forgotten everything.
                await backoff.wait(exc)
                continue
            backoff.over()
            stray = [back for delivery in done if (back := self._dispatch(delivery.message)) is not None]
            if stray:
                await send(self.messages, *stray, patience=1.0)

    def _dispatch(self, message: Message) -> Message | None:
        """Hand a signal on; return what is to be said to whoever works on a call that nobody waits for."""
        if message.type == FAILED:  # A call died; the process that saw that has told it by `Died`, too.
            return None
        kind = SIGNALS.get(message.type)
        try:
            if kind is None:
                raise ValueError("no signal")
            signal = message.decode(kind)
        except (msgspec.DecodeError, ValueError) as exc:
            self._log.warning("an unreadable %s from %s is left out: %s", message.type, message.sender, exc)
            return None
        if isinstance(signal, Credit | Cancelled):
            on_signal = self.executions.get(signal.execution)
        else:
            on_signal = self.calls.get(signal.call)
        if on_signal is not None:
            on_signal(signal)
        elif isinstance(signal, Accepted):
            return self.message(signal.process, Cancelled(signal.call, signal.execution), ttl=60.0)
        return None


def renewal(settings: QueueSettings) -> float:
    """Return after how many seconds to configure a queue anew: one in which nothing happens ends, though it is read."""
    return settings.ttl / 2
