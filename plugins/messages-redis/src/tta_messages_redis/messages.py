"""The messages of many processes, in Redis: what each call does is in the part of its name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random

import anyio
from anyio.abc import TaskGroup

from tta_kernel import Event
from tta_messages import (
    Codec,
    DeadLetter,
    Delivery,
    Filter,
    HistoryEntry,
    Message,
    MessagesConfig,
    QueueSettings,
    QueueStats,
    Requeued,
    SendResult,
    Settled,
    Subscription,
)  # fmt: skip
from tta_messages.prepare import Types
from tta_redis import Redis

from . import wire
from .admin import Admin
from .background import Background
from .batcher import Batcher
from .config import Config
from .exchange import Exchange
from .index import QueueIndex
from .names import Names
from .queues import CHUNK, Outgoing, Queue, Queues
from .receiving import Receiver
from .sending import Sender
from .settling import Settler
from .store import Store
from .subscriptions import Subscriptions
from .transmit import Transmitter

_BOUNCE = 10.0
"""For so many seconds it is tried to tell somebody that their question is dead."""


class RedisMessages:
    """`open_messages` makes one; it lives within that context."""

    def __init__(
        self,
        redis: Redis,
        settings: MessagesConfig,
        types: Types,
        config: Config,
        *,
        publish: Callable[[Event], None],
        tasks: TaskGroup,
    ) -> None:
        self._prefix, self._config = redis.prefix, config
        self._codec = Codec(types, max_size=settings.max_size)
        self._background = Background(tasks)
        self._bounces: list[Message] = []
        names, random = Names(), Random()  # noqa: S311 - jitter
        store = Store(redis, self._codec, publish, self._bounce, redis.key("messages", "wake", ""))
        timeout = redis.config.command_timeout
        self._transmitter = Transmitter(store, config, names, publish, command_timeout=timeout)
        self._exchange = Exchange(store, names)
        index = QueueIndex(redis, store)
        self._queues = Queues(store, index, settings, self._queue)
        self._sender = Sender(self._queues, self._codec)
        self._settler = Settler(self._queues, store, random)
        self._receiver = Receiver(
            self._queues, store, self._exchange, self._codec, names, random, self._background,
            acknowledge=self._settler.ack,
        )  # fmt: skip
        self._subscriptions = Subscriptions(store, redis.prefix)
        self._admin = Admin(redis, store, self._queues, index, self._codec)

    def _queue(self, name: str) -> Queue:
        async def send(batches: Sequence[Sequence[Outgoing]]) -> Sequence[Sequence[SendResult]]:
            results = await self._transmitter.send(queue, batches)
            if not queue.listed:
                await self._queues.list(queue)
            return results

        async def acknowledge(batches: Sequence[Sequence[Delivery]]) -> Sequence[Sequence[bool]]:
            return await self._exchange.acknowledge(queue, batches)

        size, linger, need = self._config.batch, self._config.linger, self._background.need
        sends: Batcher[Outgoing, SendResult] = Batcher(
            # Calls that wait for replicas don't share a connection, and so could overtake each other.
            send, need, size=size, linger=linger, patient=self._config.wait_replicas > 0
        )  # fmt: skip
        acks: Batcher[Delivery, bool] = Batcher(acknowledge, need, size=CHUNK, linger=linger)
        queue = Queue(name, wire.keys(self._prefix, name, self._queues.settings(name)), sends, acks)
        return queue

    def _bounce(self, answer: Message) -> None:
        """Tell whoever asked that their question is dead, behind the call that has noticed; once, in bounded time."""
        self._bounces.append(answer)
        if len(self._bounces) == 1:
            self._background.soon(self._send_bounces)

    async def _send_bounces(self) -> None:
        answers, self._bounces = self._bounces, []
        with anyio.move_on_after(_BOUNCE):
            await self.send(*answers)

    async def send(self, *messages: Message) -> Sequence[SendResult]:
        return await self._sender.send(messages)

    async def broadcast(self, message: Message, queues: Sequence[str]) -> Sequence[SendResult]:
        return await self._sender.send(self._codec.copies(message, queues))

    async def publish(self, message: Message) -> Sequence[SendResult]:
        return await self.broadcast(message, await self._subscriptions.queues(message))

    async def subscribe(self, queue: str, wanted: Filter, *, ttl: float = 3600.0) -> Subscription:
        return await self._subscriptions.add(queue, wanted, ttl)

    async def unsubscribe(self, id: str) -> bool:
        return await self._subscriptions.remove(id)

    async def subscriptions(self, queue: str | None = None) -> Sequence[Subscription]:
        return [each for each in await self._subscriptions.all() if queue in (None, each.queue)]

    async def receive(
        self, queue: str, *, limit: int = 1, wait: float = 0.0, visibility: float | None = None,
        done: Collection[Delivery] = (),
    ) -> Sequence[Delivery]:  # fmt: skip
        return await self._receiver.receive(queue, limit=limit, wait=wait, visibility=visibility, done=done)

    async def ack(self, *deliveries: Delivery) -> Sequence[bool]:
        return await self._settler.ack(deliveries)

    async def nack(
        self, delivery: Delivery, *, error: str = "", permanent: bool = False, delay: float | None = None
    ) -> Settled:
        return await self._settler.nack(delivery, error=error, permanent=permanent, delay=delay)

    async def release(self, *deliveries: Delivery) -> Sequence[bool]:
        return await self._settler.release(deliveries)

    async def extend(self, delivery: Delivery, seconds: float) -> bool:
        return await self._settler.extend(delivery, seconds)

    async def cancel(self, queue: str, id: str) -> bool:
        return await self._settler.cancel(queue, id)

    async def recover(self, queue: str | None = None) -> Mapping[str, int]:
        return await self._admin.recover(queue)

    async def configure(self, queue: str, settings: QueueSettings) -> None:
        await self._admin.configure(queue, settings)

    async def settings(self, queue: str) -> QueueSettings:
        return await self._admin.settings(queue)

    async def purge(self, queue: str) -> int:
        return await self._admin.purge(queue)

    async def drop(self, queue: str) -> bool:
        return await self._admin.drop(queue)

    async def dead(self, queue: str, *, limit: int = 100, after: str = "") -> Sequence[DeadLetter]:
        return await self._admin.dead(queue, limit=limit, after=after)

    async def requeue(self, queue: str, *ids: str) -> Mapping[str, Requeued]:
        return await self._admin.requeue(queue, ids)

    async def purge_dead(self, queue: str, *ids: str) -> int:
        return await self._admin.purge_dead(queue, ids)

    async def stats(self, queue: str | None = None) -> Mapping[str, QueueStats]:
        return await self._admin.stats(queue)

    async def history(self, queue: str, *, limit: int = 100) -> Sequence[HistoryEntry]:
        return await self._admin.history(queue, limit=limit)

    async def forget(self, owner: str) -> int:
        return await self._admin.forget(owner)

    async def listen(self) -> None:
        """Hear wake-ups, for as long as the service runs."""
        await self._receiver.wakeups.run()

    async def run_background(self) -> None:
        """Begin what timers and readers call for, for as long as the service runs."""
        await self._background.run()

    async def settled(self) -> None:
        """Wait until nothing goes on behind a call."""
        await self._background.settled()

    def close(self) -> None:
        """Begin nothing more."""
        self._background.close()


@asynccontextmanager
async def open_messages(
    redis: Redis,
    settings: MessagesConfig,
    types: Types,
    config: Config | None = None,
    *,
    publish: Callable[[Event], None] = lambda event: None,
) -> AsyncIterator[RedisMessages]:
    """Offer the messages of a Redis; leaving waits a moment for what goes on behind the calls."""
    error: Exception | None = None
    async with anyio.create_task_group() as tasks:
        messages = RedisMessages(redis, settings, types, config or Config(), publish=publish, tasks=tasks)
        tasks.start_soon(messages.listen, name="messages: wake-ups")
        tasks.start_soon(messages.run_background, name="messages: background")
        try:
            yield messages
        except Exception as exc:  # noqa: BLE001  # raised below, not within a group
            error = exc
        finally:
            with anyio.move_on_after(2.0, shield=True):
                await messages.settled()
            messages.close()
            tasks.cancel_scope.cancel()
    if error is not None:
        raise error
