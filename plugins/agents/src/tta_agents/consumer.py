"""Calls of other processes, taken from the queues of the agents that are served here."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import anyio
import msgspec
from anyio.abc import TaskGroup

from tta_kernel import Context, as_failure, correlation_id
from tta_kernel.isolation import is_interrupt
from tta_messages import SHUTDOWN_TIMEOUT, Delivery, LeaseKeeper, MessagesError, QueueSettings

from .acceptance import Acceptances
from .beats import Beats
from .context import CallContext
from .execution import Execution
from .inbox import Inbox
from .listener import Listener
from .local import LocalAgents
from .model import AgentError, AgentId
from .outbox import Outbox
from .served import Served
from .wire import Accepted, Answered, Call, Failed, Released, queue_of

LEFT_TO_OTHERS = 1.0
"""How long, in seconds, a degraded agent leaves calls to others until it looks whether they are well still."""
_MOST_AT_ONCE = 64
_WAIT = 5.0  # in a receive; cancelling it is quicker
_ACK_AFTER = 0.02
"""How long, in seconds, a call that is over waits for the next receive to acknowledge it."""


class CallConsumer:
    """Takes calls for one group of instances that one agent serves, from `open` until `close`.

    A call is held for ``visibility`` seconds, and again and again while the agent works: so when this process dies, it
    goes on at another not later than that. While all of the group are degraded and others do well, as
    ``served_elsewhere`` says, calls of the type are left to those: an agent that fails at once is free at once, and
    would get more than its share.
    """

    def __init__(
        self, ctx: Context, inbox: Inbox, local: LocalAgents, group: Sequence[Served], *, visibility: float,
        queue: QueueSettings, served_elsewhere: Callable[[], Awaitable[bool]],
    ) -> None:  # fmt: skip
        self._ctx, self._log, self._inbox, self._local = ctx, ctx.log, inbox, local
        self._messages, self._group, self._visibility = inbox.messages, group, visibility
        self._served_elsewhere = served_elsewhere
        self._acceptances, self._beats = Acceptances(), Beats(inbox.messages)
        self._executions: dict[int, Execution] = {}  # by the identity of their deliveries
        # What is addressed to one instance is worth nothing once that has gone.
        own = msgspec.structs.replace(
            queue, dead_limit=min(100, queue.dead_limit), dead_ttl=min(300.0, queue.dead_ttl), audit_limit=100
        )  # fmt: skip
        self._sources: list[tuple[LeaseKeeper, Sequence[Served]]] = [
            (self._keeper(queue_of(AgentId(group[0].id.type)), queue), group),
            *((self._keeper(queue_of(served.id), own), [served]) for served in group),
        ]
        self._taking, self._closing = anyio.CancelScope(), False
        self._background: TaskGroup | None = None
        self._interrupt: BaseException | None = None
        self._ended_one, self._ended = anyio.Event(), anyio.Event()

    def _keeper(self, queue: str, settings: QueueSettings) -> LeaseKeeper:
        return LeaseKeeper(
            self._messages, queue, visibility=self._visibility, settings=settings, ack_after=_ACK_AFTER,
            lost=self._lost, log=self._log,
        )  # fmt: skip

    def open(self) -> None:
        """Begin to take calls."""
        self._inbox.open()
        self._ctx.start_soon(self._run)

    async def close(self, drain: float) -> None:
        """Take no more calls, let those end that do within ``drain`` seconds, and give the others back."""
        self._closing = True
        self._taking.cancel()
        try:
            with anyio.move_on_after(drain):
                await self._ended.wait()
        finally:
            for execution in tuple(self._executions.values()):
                execution.end("released")
            with anyio.move_on_after(SHUTDOWN_TIMEOUT, shield=True):
                await self._ended.wait()

    async def drop_queues(self, gone: Sequence[Served]) -> None:
        """Leave no queue of instances behind that nobody serves, unless somebody has called one in the last moment."""
        try:
            for served in gone:
                await self._messages.drop(queue_of(served.id))
        except MessagesError as exc:
            self._log.warning("queues of instances are left to their time to live: %s", exc)

    async def _run(self) -> None:
        for served in self._group:
            served.taken = 0  # A crash may have ended tasks that had not begun.
        try:
            async with anyio.create_task_group() as background:
                self._background = background
                for leases, _ in self._sources:
                    background.start_soon(leases.run)
                background.start_soon(self._acceptances.run)
                background.start_soon(self._beats.run)
                async with anyio.create_task_group() as tasks:
                    await self._take_all(tasks)
                background.cancel_scope.cancel()
        finally:
            with anyio.move_on_after(SHUTDOWN_TIMEOUT, shield=True):
                await self._close_leases()
            if self._closing or self._interrupt:  # Otherwise it has crashed, and that isn't the end.
                self._ended.set()
        if self._interrupt:
            raise self._interrupt

    async def _take_all(self, tasks: TaskGroup) -> None:
        """Take calls from the type's queue and from each instance's, until `close`."""
        # A scope of its own each time: the kernel runs this again after a crash.
        with anyio.CancelScope() as self._taking:
            if self._closing:
                return
            async with anyio.create_task_group() as takers:
                for leases, group in self._sources:
                    takers.start_soon(self._take, leases, group, tasks)

    async def _close_leases(self) -> None:
        """Acknowledge what is over, and give back what a crash has left."""
        try:
            for leases, _ in self._sources:
                await leases.close()
        except MessagesError as exc:
            self._log.warning("calls come once more, because their end could not be noted: %s", exc)

    async def _take(self, leases: LeaseKeeper, group: Sequence[Served], tasks: TaskGroup) -> None:
        eager = 1
        while True:
            free = await self._free(group)
            if group is self._group and all(served.degraded for served in group) and await self._served_elsewhere():
                await anyio.sleep(LEFT_TO_OTHERS)
                continue
            # One at a time, since what others could begin at once is theirs; more only where more keeps waiting.
            limit = min(eager, (sum(served.limit - served.taken for served in free) + 1) // 2)
            found = await leases.receive(limit=limit, wait=_WAIT)
            eager = min(2 * limit, _MOST_AT_ONCE) if len(found) == limit else 1
            for delivery in found:
                # The other queue may have taken the place meanwhile; then it is one more for a while.
                served = min(free, key=lambda each: (each.degraded, each.taken))
                served.taken += 1
                tasks.start_soon(self._work, leases, served, delivery)

    async def _free(self, group: Sequence[Served]) -> Sequence[Served]:
        """Wait until some of a group can take one more call, and return them."""
        while not (free := [served for served in group if served.taken < served.limit]):
            await self._ended_one.wait()
        return free

    async def _work(self, leases: LeaseKeeper, served: Served, delivery: Delivery) -> None:
        """Work on one call, and settle its delivery by how that went."""
        correlation_id.set(delivery.message.correlation_id)
        execution = Execution(self._inbox.new_id(), delivery)
        self._executions[id(delivery)] = execution
        self._inbox.executions[execution.id] = execution.on_signal
        try:
            try:
                with execution.scope:
                    await self._execute(served, execution)
            except BaseException as exc:  # noqa: BLE001 - one call must not end all the others
                as_failure(exc)
                where = exc.exceptions[0] if isinstance(exc, BaseExceptionGroup) else exc
                execution.error = f"serving it raised {type(where).__name__}"
                self._log.error("%s", execution.error)  # without its text: it may be a person's
            await self._settle(leases, execution)
        except BaseException as exc:
            if not is_interrupt(exc):
                raise
            # From this task asyncio would let it out of the event loop, past everybody who has something to close.
            self._interrupt = exc
            assert self._background is not None
            self._background.cancel_scope.cancel()
        finally:
            del self._executions[id(delivery)]
            del self._inbox.executions[execution.id]
            served.taken -= 1
            self._ended_one.set()
            self._ended_one = anyio.Event()

    def _lost(self, delivery: Delivery) -> None:
        if execution := self._executions.get(id(delivery)):
            self._log.warning("a call is no longer held here, and its agent stops: others have it, or it was deleted")
            execution.end("lost")

    async def _execute(self, served: Served, execution: Execution) -> None:
        """Let the agent work, and tell the caller."""
        message = execution.delivery.message
        call = _read(execution.delivery)
        if call is None and not message.reply_to:
            execution.error, execution.foreign = "this is no call of an agent", True
            return
        # All the time that the caller had when it sent the call, not less what the call has waited since: nobody's
        # clock says how long that was. The store, by its own, hands out no call whose time is over, and a caller whose
        # time is over meanwhile says `Cancelled`.
        execution.scope.deadline = anyio.current_time() + (call.left_ms / 1000 if call else 60.0)
        patience = self._visibility / 2 if call is not None and call.probed else math.inf
        outbox = execution.outbox = Outbox(self._inbox, message, execution.id, patience=patience)
        accepted = Accepted(message.id, execution.id, served.id, self._inbox.process, execution.delivery.attempt)
        if call is None or not call.stream:
            self._acceptances.add(outbox, accepted)
            try:
                answer = await self._answer(served, execution, call, outbox)
            finally:
                self._acceptances.discard(outbox)
            await outbox.tell(answer)
            return
        async with anyio.create_task_group() as tasks:
            outbox.put(accepted)
            tasks.start_soon(outbox.run)
            outbox.put(await self._answer(served, execution, call, outbox))
            outbox.close()

    async def _answer(
        self, served: Served, execution: Execution, call: Call | None, outbox: Outbox
    ) -> Answered | Failed:
        message, attempt = execution.delivery.message, execution.delivery.attempt
        try:
            if call is None:
                raise AgentError("bad_request", "this is no call of an agent")
            listener = self._listener(call, outbox, attempt)
            context = CallContext(call.key, call.attempt, call.session, message.owner, call.released, listener)
            reply, kept = await self._local.answer(served.id, call.request, context, by=served)
            return Answered(message.id, execution.id, reply, outbox.pieces, kept, attempt)
        except AgentError as exc:
            return Failed(message.id, execution.id, exc.code, exc.detail, exc.retryable, attempt, exc.own)
        finally:
            self._beats.discard(outbox)

    def _listener(self, call: Call, outbox: Outbox, delivery: int) -> Listener:
        """Return who is told what the agent says of its work: the caller, as far as it wants to know."""
        return Listener(
            self._log,
            outbox.piece if call.stream else None,
            partial(self._beats.add, outbox) if call.beats else None,
            partial(outbox.undo, delivery=delivery) if call.undos else None,
        )

    async def _settle(self, leases: LeaseKeeper, execution: Execution) -> None:
        """Say what has become of a delivery; nothing of one that is lost, since that is settled by whoever has it."""
        delivery = execution.delivery
        if execution.ended in ("", "cancelled") and not execution.error:
            leases.done([delivery])
        elif execution.ended == "released":
            await leases.release([delivery])
            if execution.outbox is not None:
                with anyio.move_on_after(SHUTDOWN_TIMEOUT, shield=True):
                    await execution.outbox.tell(Released(delivery.message.id, execution.id))
        elif execution.error:
            await leases.fail([delivery], execution.error, permanent=execution.foreign)


def _read(delivery: Delivery) -> Call | None:
    try:
        return delivery.message.decode(Call) if delivery.message.type == Call.TYPE else None
    except (msgspec.DecodeError, RecursionError):
        return None
