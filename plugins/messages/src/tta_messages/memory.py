"""The reference implementation, in memory: what every other one is held against."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from functools import wraps
from itertools import count
from random import Random
from time import monotonic, time
from typing import Any, Concatenate, ParamSpec, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from tta_kernel import Event, check_count, check_duration
from tta_program import checked

from .answers import bounced
from .model import (
    MANY,
    DeadLetter,
    Delivery,
    Filter,
    HistoryEntry,
    Message,
    MessageDied,
    MessagesConfig,
    MessagesError,
    QueueFilled,
    QueueSettings,
    QueueStats,
    Requeued,
    SendResult,
    Settled,
    Subscription,
)  # fmt: skip
from .prepare import FORGOTTEN, Codec, Types, check_limit, check_queue, check_receive, subscription_id
from .queue import Queue
from .queues import OpenQueue, Queues

P = ParamSpec("P")
R = TypeVar("R")


def _bouncing(
    method: Callable[Concatenate[MemoryMessages, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[MemoryMessages, P], Coroutine[Any, Any, R]]:
    """Let whoever asked hear of what has died meanwhile: not before, when a queue is half-way through its work."""

    @wraps(method)
    async def bouncing(self: MemoryMessages, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(self, *args, **kwargs)
        finally:
            self._bounce()

    return bouncing


def steady_clock() -> Callable[[], float]:
    """Return a clock in seconds since the epoch that nobody sets back while it runs."""
    start = time() - monotonic()
    return lambda: start + monotonic()


class MemoryMessages:
    """Keeps at most ``limit`` queues, and as many subscriptions; what is in them ends with the process.

    A queue with nothing in it ends a day (its ``ttl``) after its last use, or when another needs its place. One that
    was configured keeps its place, and ends its ``dead_ttl`` later.
    """

    def __init__(
        self,
        config: MessagesConfig,
        types: Types,
        *,
        clock: Callable[[], float] | None = None,
        random: Callable[[], float] | None = None,
        publish: Callable[[Event], None] = lambda event: None,
        limit: int = 10_000,
    ) -> None:
        check_count("limit", limit, most=MANY)
        self._config, self._publish, self._limit = config, publish, limit
        self._clock = clock or steady_clock()
        self._random = random or Random().random  # noqa: S311 - a pause's jitter
        self._codec = Codec(types, max_size=config.max_size, clock=self._clock)
        self._queues = Queues(self._make, clock=self._clock, limit=limit)
        self._subscriptions: dict[str, Subscription] = {}
        self._tokens = count(1)
        self._bounces: deque[Message] = deque()

    # Sending

    async def send(self, *messages: Message) -> Sequence[SendResult]:
        await checkpoint()
        results: list[SendResult | None] = []
        by_queue: dict[str, list[Message]] = {}
        for message in messages:
            match self._codec.prepare(message):
                case SendResult() as refused:
                    results.append(refused)
                case prepared:
                    results.append(None)
                    by_queue.setdefault(prepared.message.queue, []).append(prepared.message)
        sent = {name: iter(self._send(name, group)) for name, group in by_queue.items()}
        self._bounce()
        return [result or next(sent[message.queue]) for result, message in zip(results, messages, strict=True)]

    def _send(self, name: str, messages: Sequence[Message]) -> Sequence[SendResult]:
        if (opened := self._queues.open(name)) is None:
            detail = f"there are {self._limit} queues"
            return [SendResult(m.id, delivered=False, error="queue_full", detail=detail) for m in messages]
        now = self._clock()
        results = opened.queue.send(messages, now)
        if any(result.error for result in results) and now - opened.told_at >= 1.0:
            opened.told_at = now
            self._publish(QueueFilled(queue=name))
        opened.wake(sum(result.delivered and not result.duplicate for result in results))
        return results

    async def broadcast(self, message: Message, queues: Sequence[str]) -> Sequence[SendResult]:
        return await self.send(*self._codec.copies(message, queues))

    async def publish(self, message: Message) -> Sequence[SendResult]:
        now = self._clock()
        wanted = {s.queue for s in self._subscriptions.values() if s.expires_at > now and s.filter.fits(message)}
        return await self.broadcast(message, sorted(wanted))

    async def subscribe(self, queue: str, wanted: Filter, *, ttl: float = 3600.0) -> Subscription:
        await checkpoint()
        check_duration("ttl", ttl, positive=True)
        id, now = subscription_id(check_queue(queue), wanted), self._clock()
        self._subscriptions = {key: s for key, s in self._subscriptions.items() if s.expires_at > now}
        if len(self._subscriptions) >= self._limit and id not in self._subscriptions:
            raise MessagesError(f"there are {self._limit} subscriptions")
        self._subscriptions[id] = subscription = Subscription(id, queue, wanted, now + ttl)
        return subscription

    async def unsubscribe(self, id: str) -> bool:
        await checkpoint()
        subscription = self._subscriptions.pop(id, None)
        return subscription is not None and subscription.expires_at > self._clock()

    async def subscriptions(self, queue: str | None = None) -> Sequence[Subscription]:
        await checkpoint()
        now = self._clock()
        found = [s for s in self._subscriptions.values() if s.expires_at > now and queue in (None, s.queue)]
        return sorted(found, key=lambda subscription: subscription.id)

    # Receiving

    async def receive(
        self, queue: str, *, limit: int = 1, wait: float = 0.0, visibility: float | None = None,
        done: Collection[Delivery] = (),
    ) -> Sequence[Delivery]:  # fmt: skip
        check_receive(queue, limit, wait, visibility)
        if done:
            self._ack(done)
        await checkpoint()
        until = anyio.current_time() + wait
        while True:
            # From here to the return nothing waits, so nothing that is held can be lost.
            if (opened := self._queues.open(queue)) is None:
                raise MessagesError(f"there are {self._limit} queues")
            now = self._clock()
            held = opened.queue.receive(limit, visibility, now)
            bounced = self._bounce()
            rest = until - anyio.current_time()
            if held or rest <= 0:
                opened.wake(0)
                return held
            if not bounced:  # Perhaps to this very queue.
                await opened.wait(now, rest)

    async def ack(self, *deliveries: Delivery) -> Sequence[bool]:
        await checkpoint()
        return self._ack(deliveries)

    def _ack(self, deliveries: Collection[Delivery]) -> Sequence[bool]:
        now = self._clock()
        return self._each(deliveries, lambda opened, group: opened.queue.ack(group, now))

    @_bouncing
    async def nack(
        self, delivery: Delivery, *, error: str = "", permanent: bool = False, delay: float | None = None
    ) -> Settled:
        if delay is not None:
            check_duration("delay", delay)
        await checkpoint()
        if (opened := self._queues.find(delivery.message.queue)) is None:
            return Settled.STALE
        settled = opened.queue.nack(delivery, self._clock(), error=error, permanent=permanent, delay=delay)
        opened.wake(1)
        return settled

    @_bouncing
    async def release(self, *deliveries: Delivery) -> Sequence[bool]:
        await checkpoint()
        now = self._clock()

        def release(opened: OpenQueue, group: Sequence[Delivery]) -> Sequence[bool]:
            released = opened.queue.release(group, now)
            opened.wake(sum(released))
            return released

        return self._each(deliveries, release)

    def _each(
        self, deliveries: Collection[Delivery], do: Callable[[OpenQueue, Sequence[Delivery]], Sequence[bool]]
    ) -> Sequence[bool]:
        """Do something to the deliveries of each queue together; results in the order of all."""
        by_queue: dict[str, list[Delivery]] = {}
        for delivery in deliveries:
            by_queue.setdefault(delivery.message.queue, []).append(delivery)
        results = {}
        for name, group in by_queue.items():
            opened = self._queues.find(name)
            results[name] = iter(do(opened, group) if opened else [False] * len(group))
        return [next(results[delivery.message.queue]) for delivery in deliveries]

    async def extend(self, delivery: Delivery, seconds: float) -> bool:
        check_duration("seconds", seconds, positive=True)
        await checkpoint()
        opened = self._queues.find(delivery.message.queue)
        held = opened is not None and opened.queue.extend(delivery, seconds, self._clock())
        if opened and held:
            opened.wake(0)
        return held

    @_bouncing
    async def cancel(self, queue: str, id: str) -> bool:
        await checkpoint()
        opened = self._queues.find(queue)
        return opened is not None and opened.queue.cancel(id, self._clock())

    @_bouncing
    async def recover(self, queue: str | None = None) -> Mapping[str, int]:
        await checkpoint()
        now = self._clock()
        found = {}
        for name, opened in self._queues.some(queue).items():
            if recovered := opened.queue.tick(now):
                found[name] = recovered
                opened.wake(recovered)
        return found

    # Running it

    async def configure(self, queue: str, settings: QueueSettings) -> None:
        settings = checked("settings", settings)
        await checkpoint()
        if (opened := self._queues.open(check_queue(queue))) is None:
            raise MessagesError(f"there are {self._limit} queues")
        opened.queue.settings, opened.configured = settings, True

    async def settings(self, queue: str) -> QueueSettings:
        await checkpoint()
        opened = self._queues.find(queue)
        return opened.queue.settings if opened else self._config.of(queue)

    @_bouncing
    async def purge(self, queue: str) -> int:
        await checkpoint()
        opened = self._queues.find(queue)
        return opened.queue.purge(self._clock()) if opened else 0

    @_bouncing
    async def drop(self, queue: str) -> bool:
        await checkpoint()
        opened = self._queues.find(check_queue(queue))
        if opened is not None:
            now = self._clock()
            if opened.queue.holds_any(now):
                return False
            self._queues.remove(queue)
        return True

    @_bouncing
    async def dead(self, queue: str, *, limit: int = 100, after: str = "") -> Sequence[DeadLetter]:
        check_limit(limit)
        await checkpoint()
        opened = self._queues.find(queue)
        return opened.queue.dead(limit, after, self._clock()) if opened else []

    @_bouncing
    async def requeue(self, queue: str, *ids: str) -> Mapping[str, Requeued]:
        await checkpoint()
        if (opened := self._queues.find(queue)) is None:
            return dict.fromkeys(ids, Requeued.UNKNOWN)
        found = opened.queue.requeue(ids, self._clock())
        opened.wake(list(found.values()).count(Requeued.REQUEUED))
        return found

    @_bouncing
    async def purge_dead(self, queue: str, *ids: str) -> int:
        await checkpoint()
        opened = self._queues.find(queue)
        return opened.queue.purge_dead(ids, self._clock()) if opened else 0

    @_bouncing
    async def stats(self, queue: str | None = None) -> Mapping[str, QueueStats]:
        await checkpoint()
        now = self._clock()
        none = {queue: QueueStats(dict.fromkeys(("high", "normal", "low"), 0))} if queue else {}
        return none | {name: opened.queue.stats(now) for name, opened in self._queues.some(queue).items()}

    async def history(self, queue: str, *, limit: int = 100) -> Sequence[HistoryEntry]:
        check_limit(limit)
        await checkpoint()
        opened = self._queues.find(queue)
        return opened.queue.history(limit) if opened else []

    @_bouncing
    async def forget(self, owner: str) -> int:
        await checkpoint()
        now = self._clock()
        count = 0
        for opened in self._queues.all() if owner else ():
            found, deleted = opened.queue.forget(owner, now)
            count += found
            self._bounces += filter(None, (bounced(message, FORGOTTEN, "") for message in deleted))
        return count

    def _make(self, name: str) -> Queue:
        settings = self._config.of(name)
        return Queue(name, settings, token=lambda: f"{next(self._tokens):x}", random=self._random, died=self._died)

    def _died(self, letter: DeadLetter) -> None:
        type_ = letter.message.type if letter.message else ""
        self._publish(MessageDied(queue=letter.queue, id=letter.id, message_type=type_, reason=letter.reason))
        if letter.message and (answer := bounced(letter.message, letter.reason, letter.error)):
            self._bounces.append(answer)

    def _bounce(self) -> bool:
        """Send what tells whoever asked that their question is dead; True if there was any.

        Where it finds no room, they wait until their time is over.
        """
        some = bool(self._bounces)
        while self._bounces:  # What is sent may find others dead.
            answer = self._codec.prepare(self._bounces.popleft())
            if not isinstance(answer, SendResult):
                self._send(answer.message.queue, [answer.message])
        return some
