"""What all calls share: the store, the queues that this process knows, and what goes on behind the calls."""

from __future__ import annotations

import asyncio
import itertools
import logging
from base64 import urlsafe_b64encode
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from secrets import token_urlsafe
from time import monotonic
from typing import Any, TypeVar

import anyio
import msgspec
from anyio.abc import TaskGroup
from redis.exceptions import ResponseError

from tta_kernel import Event
from tta_messages import Codec, Delivery, Message, MessagesConfig, MessagesError, QueueSettings, SendResult
from tta_messages.prepare import Types, check_queue
from tta_redis import Redis, RedisDown

from . import wire
from .config import Config
from .line import Line
from .store import Store, translated

log = logging.getLogger("tta.messages-redis")
R = TypeVar("R")

CHUNK = 1000
"""Messages, at most, in one script: Lua hands on no more than some thousand arguments."""
_QUEUES = 4096
_BOUNCE = 10.0
"""For so many seconds it is tried to tell somebody that his question is dead."""
_INDEX_EVERY = 600.0
_AT_ONCE = 32
"""Queues at which an operator's command looks at the same time."""
UNUSUAL = 16
"""For so many calls after one that wasn't usual, the next isn't supposed to be."""


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A message on its way.

    ``mark`` stands for all ids that one call made up for this queue; it is empty where the id is to be known by itself.
    """

    id: str
    data: bytes
    priority: int
    ttl: float | None
    delay: float
    mark: str


class Queue:
    """What this process knows of a queue."""

    __slots__ = (
        "acks",
        "indexed_at",
        "keys",
        "life",
        "listed",
        "name",
        "offset",
        "sends",
        "told_at",
        "tried",
        "trying",
        "turn",
        "unusual",
        "window",
    )

    def __init__(self, name: str, keys: wire.Keys, sends: Line[Outgoing, SendResult], acks: Line[Delivery, bool]):
        self.name, self.keys, self.sends, self.acks = name, keys, sends, acks
        self.indexed_at = self.told_at = float("-inf")
        self.window = self.life = 0.0
        self.listed = True
        """Whether it was entered in the index since it began, when something was last sent."""
        self.unusual = [0, 0]
        """How many sends and receives are not worth trying as usual ones."""
        self.trying = ""
        """The mark of the last batch under way that is tried as a usual one."""
        self.tried: anyio.Event | None = None
        """Set when nothing is tried any more; there is one once somebody has waited for it."""
        self.turn = anyio.Lock(fast_acquire=True)
        """Held by who waits for that; those behind wait for it in turn."""
        self.offset: float | None = None
        """What has to be added to our clock for its server's, in µs."""


class Shared:
    """The parts of `RedisMessages` are made of this, and it of nothing of theirs but how a queue's lines fly."""

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
        self._redis, self._settings, self._config = redis, settings, config
        self._publish, self._tasks = publish, tasks
        self._codec = Codec(types, max_size=settings.max_size)
        self._store = Store(redis, self._codec, publish, self._bounce, redis.key("messages", "wake", ""))
        self._bounces: list[Message] = []
        self._queues: OrderedDict[str, Queue] = OrderedDict()
        self._random = Random()  # noqa: S311 - jitter
        self._mark, self._count = token_urlsafe(6), itertools.count(1)
        self._index_key = redis.key("messages", "queues").encode()
        self._busy, self._closed = 0, False
        self._idle = anyio.Event()
        self._errands: deque[tuple[Callable[..., Awaitable[None]], tuple[Any, ...]]] = deque()
        self._errand = anyio.Event()

    async def _fly(self, queue: Queue, batches: Sequence[Sequence[Outgoing]]) -> Sequence[Sequence[SendResult]]:
        raise NotImplementedError

    async def _fly_acks(self, queue: Queue, batches: Sequence[Sequence[Delivery]]) -> Sequence[Sequence[bool]]:
        raise NotImplementedError

    async def send(self, *messages: Message) -> Sequence[SendResult]:
        raise NotImplementedError

    def _bounce(self, answer: Message) -> None:
        """Tell whoever asked that his question is dead, behind the call that has noticed; once, and in bounded time."""
        self._bounces.append(answer)
        if len(self._bounces) == 1:
            self._soon(self._send_bounces)

    async def _send_bounces(self) -> None:
        answers, self._bounces = self._bounces, []
        with anyio.move_on_after(_BOUNCE):
            await self.send(*answers)

    async def _each(
        self, deliveries: Sequence[Delivery], do: Callable[[Queue, Sequence[Delivery]], Awaitable[Sequence[bool]]]
    ) -> Sequence[bool]:
        """Do something to the deliveries of each queue together; results in the order of all."""
        by_queue: dict[str, list[Delivery]] = {}
        for delivery in deliveries:
            by_queue.setdefault(delivery.message.queue, []).append(delivery)
        if len(by_queue) == 1:
            return await do(self._queue(deliveries[0].message.queue), deliveries)
        results = {name: iter(await do(self._queue(name), group)) for name, group in by_queue.items()}
        return [next(results[delivery.message.queue]) for delivery in deliveries]

    async def _all(self, queue: str | None, do: Callable[[Queue], Awaitable[R]]) -> dict[str, R]:
        """Do something to one queue, or to all that there are."""
        if queue is not None:
            return {queue: await do(self._queue(check_queue(queue)))}
        names, found, errors = deque(await self._names()), dict[str, R](), list[MessagesError]()

        async def work() -> None:
            while names and not errors:
                name = names.popleft()
                try:
                    found[name] = await do(self._queue(name))
                except MessagesError as exc:
                    errors.append(exc)

        async with anyio.create_task_group() as tasks:
            for _ in range(min(_AT_ONCE, len(names))):
                tasks.start_soon(work)
        if errors:
            raise errors[0]
        return dict(sorted(found.items()))

    def _own_settings(self, queue: str) -> QueueSettings:
        return self._settings.of(queue)

    def _queue(self, name: str) -> Queue:
        known = self._queues.get(name)
        if known is None:
            known = self._queues[name] = self._make(name)
            over = max(0, len(self._queues) - _QUEUES)
            for old, each in list(itertools.islice(self._queues.items(), over)):
                if each.sends.idle and each.acks.idle:
                    del self._queues[old]
        else:
            self._queues.move_to_end(name)
        return known

    def _make(self, name: str) -> Queue:
        async def fly(batches: Sequence[Sequence[Outgoing]]) -> Sequence[Sequence[SendResult]]:
            return await self._fly(queue, batches)

        async def fly_acks(batches: Sequence[Sequence[Delivery]]) -> Sequence[Sequence[bool]]:
            return await self._fly_acks(queue, batches)

        size, linger = self._config.batch, self._config.linger
        sends: Line[Outgoing, SendResult] = Line(
            # Calls that wait for replicas don't share a connection, and so could overtake each other.
            fly, self._fly_soon, size=size, linger=linger, patient=self._config.wait_replicas > 0
        )  # fmt: skip
        acks: Line[Delivery, bool] = Line(fly_acks, self._fly_soon, size=CHUNK, linger=linger)
        queue = Queue(name, wire.keys(self._redis.prefix, name, self._own_settings(name)), sends, acks)
        return queue

    async def _index(self, queue: Queue, life: float = 0.0) -> None:
        """See to it that the queue can be found before there is anything in it."""
        if monotonic() - queue.indexed_at >= _INDEX_EVERY:
            await self._enter(queue, life)

    async def _list(self, queue: Queue) -> None:
        """Let a queue be found that has begun anew since it was entered."""
        await self._enter(queue)
        await self._store.run(self._store.scripts.admin, queue.name, queue.keys, ("listed",), retry=True)
        queue.listed = True

    async def _enter(self, queue: Queue, life: float = 0.0) -> None:
        now, own = monotonic(), self._own_settings(queue.name)
        life = 2 * min(max(life, own.ttl + own.dead_ttl, 86_400.0), wire.FOR_EVER)
        for again in (False, True):
            try:
                await self._store.scripts.index([self._index_key], (queue.name, int(life * 1000)), retry=True)
                break
            except RedisDown as exc:
                raise translated(exc) from exc
            except ResponseError as exc:
                if again or "WRONGTYPE" not in str(exc):
                    raise translated(exc) from exc
                await self._mend_index()
        queue.indexed_at = now

    async def _mend_index(self) -> None:
        types = (7 * 86_400_000, "zset")
        await self._store.put_aside("index of queues", self._store.scripts.quarantine, [self._index_key], types)

    async def _names(self) -> list[str]:
        found = await self._ask_index("ZRANGE", 0, -1) or ()
        return [name.decode() for name in found if wire.QUEUE.fullmatch(name)]

    async def _ask_index(self, command: str, *args: Any) -> Any:
        """Run a command, perhaps twice, on the index; None where something foreign is in its place, until now."""
        try:
            return await self._redis.execute(command, self._index_key, *args, retry=True)
        except RedisDown as exc:
            raise translated(exc) from exc
        except ResponseError as exc:
            if "WRONGTYPE" not in str(exc):
                raise translated(exc) from exc
            await self._mend_index()
            return None

    def _nonce(self) -> str:
        """Return 12 characters: 48 random bits of this process's, and the last 24 of a number."""
        number = (next(self._count) & 0xFFFFFF).to_bytes(3)
        return self._mark + urlsafe_b64encode(number).decode()

    def _soon(self, do: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Do something behind the call; after the end nothing is done any more."""
        if self._closed:
            return
        self._busy += 1
        if asyncio.current_task() is not None:
            self._tasks.start_soon(self._watched, do, *args)
        else:
            self._errands.append((do, args))
            self._errand.set()

    async def run_errands(self) -> None:
        """Begin what the event loop itself has called for: only a task can be sure to begin another."""
        while True:
            while self._errands:
                do, args = self._errands.popleft()
                self._tasks.start_soon(self._watched, do, *args)
            self._errand = anyio.Event()
            await self._errand.wait()

    def _fly_soon(self, flight: Callable[[], Awaitable[None]]) -> None:
        if self._closed:
            raise MessagesError("the service has ended")
        self._soon(flight)

    async def _watched(self, do: Callable[..., Awaitable[None]], *args: Any) -> None:
        try:
            await do(*args)
        except MessagesError as exc:
            log.warning("not done: %s", exc)
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    async def settled(self) -> None:
        """Wait until nothing goes on behind a call."""
        while self._busy:
            self._idle = anyio.Event()
            await self._idle.wait()

    def close(self) -> None:
        """Begin nothing more."""
        self._closed = True
