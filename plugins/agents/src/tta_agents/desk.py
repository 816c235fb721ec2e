"""Calls of other processes, taken from the queues of the agents that are served here."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

import anyio
import msgspec
from anyio.abc import TaskGroup

from tta_kernel import Context, correlation_id
from tta_messages import Delivery, MessagesError, QueueSettings

from .care import Care
from .inbox import WAIT, Inbox, Lull, renewal
from .local import LocalAgents, Served, Step
from .model import AgentError, AgentId
from .outbox import Outbox
from .serving import Serving
from .wire import Accepted, Answered, Call, Failed, Released, queue_of

SPARED = 1.0
"""How long, in seconds, a degraded agent leaves calls to others until it looks whether they are well still."""
FAREWELL = 1.0
"""How long, in seconds, giving calls back may take once it is time to stop."""


class Desk:
    """Takes calls for one group of instances that one agent serves; `run` until `close`.

    A call is held for ``visibility`` seconds, and again and again while the agent works: so when this
    process dies, it goes on at another not later than that. While all of the group are degraded and ``others_do``
    it well, calls of the type are left to those: who fails at once is free at once, and would get more than its share.
    """

    def __init__(
        self, ctx: Context, inbox: Inbox, local: LocalAgents, group: Sequence[Served], *, visibility: float,
        queue: QueueSettings, others_do: Callable[[], Awaitable[bool]],
    ) -> None:  # fmt: skip
        self._others_do = others_do
        self._ctx, self._log, self._inbox, self._local = ctx, ctx.log, inbox, local
        self._messages, self._group, self._visibility = inbox.messages, group, visibility
        self._care = Care(inbox.messages, ctx.log, visibility)
        # What is addressed to one instance is worth nothing once that has gone.
        own = msgspec.structs.replace(
            queue, dead_limit=min(100, queue.dead_limit), dead_ttl=min(300.0, queue.dead_ttl), audit_limit=100
        )  # fmt: skip
        self._settings = {True: queue, False: own}
        self._taking, self._closing = anyio.CancelScope(), False
        self._less, self._ended = anyio.Event(), anyio.Event()

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
            for serving in self._care:
                serving.end("released")
            with anyio.move_on_after(FAREWELL, shield=True):
                await self._ended.wait()

    async def drop(self, gone: Sequence[Served]) -> None:
        """Leave no queue of instances behind that nobody serves, unless somebody has called one in the last moment."""
        try:
            for served in gone:
                await self._messages.drop(queue_of(served.id))
        except MessagesError as exc:
            self._log.warning("queues of instances are left to their time to live: %s", exc)

    async def _run(self) -> None:
        queues: dict[str, Sequence[Served]] = {queue_of(AgentId(self._group[0].id.type)): self._group}
        queues |= {queue_of(served.id): [served] for served in self._group}
        try:
            async with anyio.create_task_group() as caring:
                caring.start_soon(self._care.run)
                async with anyio.create_task_group() as tasks:
                    with self._taking:
                        async with anyio.create_task_group() as takers:
                            for queue, group in queues.items():
                                takers.start_soon(self._take, queue, group, tasks)
                caring.cancel_scope.cancel()
        finally:
            with anyio.move_on_after(FAREWELL, shield=True):
                await self._care.acknowledge()
            if self._closing:  # A crash isn't the end: the kernel runs this again.
                self._ended.set()

    async def _take(self, queue: str, group: Sequence[Served], tasks: TaskGroup) -> None:
        lull = Lull(self._log, f"no calls are taken from {queue}")
        settings, configure_at, eager = self._settings[group is self._group], -math.inf, 1
        while True:
            while not (free := [served for served in group if served.taken < served.limit]):
                await self._less.wait()
            if group is self._group and all(map(_ill, group)) and await self._others_do():
                await anyio.sleep(SPARED)
                continue
            # One at a time, since what others could begin at once is theirs; more only where more keeps waiting.
            limit = min(eager, (sum(served.limit - served.taken for served in free) + 1) // 2)
            done = self._care.take_done(queue)
            try:
                if anyio.current_time() >= configure_at:
                    await self._messages.configure(queue, settings)
                    configure_at = anyio.current_time() + renewal(settings)
                found = await self._messages.receive(
                    queue, limit=limit, wait=WAIT, visibility=self._visibility, done=done
                )
                lull.over()
            except BaseException as exc:
                for delivery in done:  # Whether it was heard is unknown; saying it twice does no harm.
                    self._care.done(delivery)
                if not isinstance(exc, MessagesError):
                    raise
                configure_at = -math.inf  # The store may have forgotten everything.
                await lull.wait(exc)
                continue
            eager = min(2 * limit, 64) if len(found) == limit else 1
            for delivery in found:
                # The other queue may have taken the place meanwhile; then it is one more for a while.
                served = min(free, key=lambda each: (_ill(each), each.taken))
                served.taken += 1
                tasks.start_soon(self._work, served, delivery)

    async def _work(self, served: Served, delivery: Delivery) -> None:
        correlation_id.set(delivery.message.correlation_id)
        serving = Serving(self._inbox.new_id(), delivery)
        self._care.add(serving)
        self._inbox.servings[serving.id] = serving.hear
        try:
            try:
                with serving.scope:
                    await self._serve(served, serving)
            except Exception as exc:  # noqa: BLE001 - one call must not end all the others
                where = exc.exceptions[0] if isinstance(exc, ExceptionGroup) else exc
                serving.error = f"serving it raised {type(where).__name__}"
                self._log.error("%s", serving.error)  # without its text: it may be a person's
            self._care.remove(serving)
            await self._settle(serving)
        finally:
            self._care.remove(serving)
            del self._inbox.servings[serving.id]
            served.taken -= 1
            self._less.set()
            self._less = anyio.Event()

    async def _serve(self, served: Served, serving: Serving) -> None:
        message = serving.delivery.message
        call = _read(serving.delivery)
        if call is None and not message.reply_to:
            serving.error, serving.foreign = "this is no call of an agent", True
            return
        # Not less what it has waited: only the store knows that, which keeps what is over. This clock may be wrong by
        # hours. Who gives up sooner says so.
        serving.scope.deadline = anyio.current_time() + (call.left_ms / 1000 if call else 60.0)
        outbox = serving.outbox = Outbox(self._inbox, message, serving.id)
        accepted = Accepted(message.id, serving.id, served.id, self._inbox.process, serving.delivery.attempt)
        if call is None or not call.stream:
            serving.accepted = accepted
            answer = await self._answer(served, serving, call, outbox)
            serving.accepted = None
            await outbox.tell(answer)
            return
        async with anyio.create_task_group() as tasks:
            outbox.put(accepted)
            tasks.start_soon(outbox.run)
            outbox.put(await self._answer(served, serving, call, outbox))
            outbox.close()

    async def _answer(self, served: Served, serving: Serving, call: Call | None, outbox: Outbox) -> Answered | Failed:
        id, attempt = serving.delivery.message.id, serving.delivery.attempt
        try:
            if call is None:
                raise AgentError("bad_request", "this is no call of an agent")
            on_piece = outbox.piece if call.stream else None
            step = Step(call.key, call.attempt, call.session, on_piece, serving.delivery.message.owner)
            reply, kept = await self._local.answer(served.id, call.request, step, by=served)
            return Answered(id, serving.id, reply, outbox.pieces, kept, attempt)
        except AgentError as exc:
            return Failed(id, serving.id, exc.code, exc.detail, exc.retryable, attempt)

    async def _settle(self, serving: Serving) -> None:
        if serving.ended in ("", "cancelled") and not serving.error:
            return self._care.done(serving.delivery)
        with anyio.move_on_after(self._visibility, shield=True):
            try:
                if serving.ended == "released":
                    await self._messages.release(serving.delivery)
                    if serving.outbox is not None:
                        await serving.outbox.tell(Released(serving.delivery.message.id, serving.id))
                elif serving.error:
                    await self._messages.nack(serving.delivery, error=serving.error, permanent=serving.foreign)
            except MessagesError as exc:
                self._log.warning("a call comes once more, because its end could not be noted: %s", exc)
        return None


def _ill(served: Served) -> bool:
    return served.status == "degraded"


def _read(delivery: Delivery) -> Call | None:
    try:
        return delivery.message.decode(Call) if delivery.message.type == Call.TYPE else None
    except msgspec.DecodeError:
        return None
