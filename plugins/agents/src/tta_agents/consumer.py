"""Calls of other processes, taken from the queues of the agents that are served here."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

import anyio
import msgspec
from anyio.abc import TaskGroup

from tta_kernel import Context, correlation_id
from tta_messages import Delivery, MessagesError, QueueSettings

from .acceptance import Acceptances
from .context import CallContext
from .execution import Execution
from .inbox import SHUTDOWN_TIMEOUT, WAIT, Inbox, renewal
from .leases import Backoff, LeaseKeeper
from .local import LocalAgents
from .model import AgentError, AgentId
from .outbox import Outbox
from .served import Served
from .wire import Accepted, Answered, Call, Failed, Released, queue_of

LEFT_TO_OTHERS = 1.0
"""How long, in seconds, a degraded agent leaves calls to others until it looks whether they are well still."""
_MOST_AT_ONCE = 64


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
        self._leases = LeaseKeeper(inbox.messages, ctx.log, visibility)
        self._acceptances = Acceptances()
        self._executions: set[Execution] = set()
        self._queue = queue
        # What is addressed to one instance is worth nothing once that has gone.
        self._instance_queue = msgspec.structs.replace(
            queue, dead_limit=min(100, queue.dead_limit), dead_ttl=min(300.0, queue.dead_ttl), audit_limit=100
        )  # fmt: skip
        self._taking, self._closing = anyio.CancelScope(), False
        self._ended_one, self._ended = anyio.Event(), anyio.Event()

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
            for execution in tuple(self._executions):
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
        try:
            async with anyio.create_task_group() as background:
                background.start_soon(self._leases.run)
                background.start_soon(self._acceptances.run)
                async with anyio.create_task_group() as tasks:
                    await self._take_all(tasks)
                background.cancel_scope.cancel()
        finally:
            with anyio.move_on_after(SHUTDOWN_TIMEOUT, shield=True):
                await self._leases.acknowledge()
            if self._closing:  # Otherwise it has crashed, and that isn't the end.
                self._ended.set()

    async def _take_all(self, tasks: TaskGroup) -> None:
        """Take calls from the type's queue and from each instance's, until `close`."""
        type = self._group[0].id.type
        # A scope of its own each time: the kernel runs this again after a crash.
        with anyio.CancelScope() as self._taking:
            if self._closing:
                return
            async with anyio.create_task_group() as takers:
                takers.start_soon(self._take, queue_of(AgentId(type)), self._queue, self._group, tasks)
                for served in self._group:
                    takers.start_soon(self._take, queue_of(served.id), self._instance_queue, [served], tasks)

    async def _take(self, queue: str, settings: QueueSettings, group: Sequence[Served], tasks: TaskGroup) -> None:
        backoff = Backoff(self._log, f"no calls are taken from {queue}")
        configure_at, eager = -math.inf, 1
        while True:
            free = await self._free(group)
            if group is self._group and all(served.degraded for served in group) and await self._served_elsewhere():
                await anyio.sleep(LEFT_TO_OTHERS)
                continue
            # One at a time, since what others could begin at once is theirs; more only where more keeps waiting.
            limit = min(eager, (sum(served.limit - served.taken for served in free) + 1) // 2)
            try:
                if anyio.current_time() >= configure_at:
                    await self._messages.configure(queue, settings)
                    configure_at = anyio.current_time() + renewal(settings)
                found = await self._leases.receive(queue, limit=limit, wait=WAIT)
            except MessagesError as exc:
                configure_at = -math.inf  # The store may have forgotten everything.
                await backoff.wait(exc)
                continue
            backoff.over()
            eager = min(2 * limit, _MOST_AT_ONCE) if len(found) == limit else 1
            for delivery in found:
                # The other queue may have taken the place meanwhile; then it is one more for a while.
                served = min(free, key=lambda each: (each.degraded, each.taken))
                served.taken += 1
                tasks.start_soon(self._work, served, delivery)

    async def _free(self, group: Sequence[Served]) -> Sequence[Served]:
        """Wait until some of a group can take one more call, and return them."""
        while not (free := [served for served in group if served.taken < served.limit]):
            await self._ended_one.wait()
        return free

    async def _work(self, served: Served, delivery: Delivery) -> None:
        """Work on one call, and settle its delivery by how that went."""
        correlation_id.set(delivery.message.correlation_id)
        execution = Execution(self._inbox.new_id(), delivery)
        self._executions.add(execution)
        self._inbox.executions[execution.id] = execution.on_signal
        self._leases.hold(delivery, lambda: self._lost(execution))
        try:
            try:
                with execution.scope:
                    await self._execute(served, execution)
            except Exception as exc:  # noqa: BLE001 - one call must not end all the others
                where = exc.exceptions[0] if isinstance(exc, ExceptionGroup) else exc
                execution.error = f"serving it raised {type(where).__name__}"
                self._log.error("%s", execution.error)  # without its text: it may be a person's
            await self._settle(execution)
        finally:
            self._leases.let_go(delivery)
            self._executions.discard(execution)
            del self._inbox.executions[execution.id]
            served.taken -= 1
            self._ended_one.set()
            self._ended_one = anyio.Event()

    def _lost(self, execution: Execution) -> None:
        self._log.warning("a call is no longer held here, and its agent stops: it goes on elsewhere")
        execution.end("lost")

    async def _execute(self, served: Served, execution: Execution) -> None:
        """Let the agent work, and tell the caller."""
        message = execution.delivery.message
        call = _read(execution.delivery)
        if call is None and not message.reply_to:
            execution.error, execution.foreign = "this is no call of an agent", True
            return
        # Not less what it has waited: only the store knows that, which keeps what is over. This clock may be wrong by
        # hours. Who gives up sooner says so.
        execution.scope.deadline = anyio.current_time() + (call.left_ms / 1000 if call else 60.0)
        outbox = execution.outbox = Outbox(self._inbox, message, execution.id)
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
            on_piece = outbox.piece if call.stream else None
            context = CallContext(call.key, call.attempt, call.session, on_piece, message.owner)
            reply, kept = await self._local.answer(served.id, call.request, context, by=served)
            return Answered(message.id, execution.id, reply, outbox.pieces, kept, attempt)
        except AgentError as exc:
            return Failed(message.id, execution.id, exc.code, exc.detail, exc.retryable, attempt)

    async def _settle(self, execution: Execution) -> None:
        delivery = execution.delivery
        if execution.ended in ("", "cancelled") and not execution.error:
            self._leases.done(delivery)
            return
        self._leases.let_go(delivery)
        with anyio.move_on_after(self._visibility, shield=True):
            try:
                if execution.ended == "released":
                    await self._messages.release(delivery)
                    if execution.outbox is not None:
                        await execution.outbox.tell(Released(delivery.message.id, execution.id))
                elif execution.error:
                    await self._messages.nack(delivery, error=execution.error, permanent=execution.foreign)
            except MessagesError as exc:
                self._log.warning("a call comes once more, because its end could not be noted: %s", exc)


def _read(delivery: Delivery) -> Call | None:
    try:
        return delivery.message.decode(Call) if delivery.message.type == Call.TYPE else None
    except msgspec.DecodeError:
        return None
