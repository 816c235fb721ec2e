"""The queues that this process knows, and what it knows of each."""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import TypeVar

import anyio
import msgspec

from tta_messages import Delivery, MessagesConfig, MessagesError, QueueSettings, SendResult
from tta_messages.prepare import check_queue

from . import wire
from .batcher import Batcher
from .index import QueueIndex
from .store import Store

R = TypeVar("R")

CHUNK = 1000
"""Messages, at most, in one script: Lua hands on no more than some thousand arguments."""
_QUEUES = 4096
_INDEX_EVERY = 600.0
_AT_ONCE = 32
"""Queues at which an operator's command looks at the same time."""
_SKIP = 16


class FastPath:
    """Whether a queue's fast script is worth trying: not for 16 calls after one that wasn't eligible."""

    __slots__ = ("_skip",)

    def __init__(self) -> None:
        self._skip = 0

    @property
    def open(self) -> bool:
        """Whether to try."""
        return not self._skip

    def skipped(self) -> None:
        """Count a call that took the full path at once."""
        self._skip -= self._skip > 0

    def refused(self) -> None:
        """Note that a call wasn't eligible."""
        self._skip = _SKIP


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A message on its way.

    ``stem``: with what all ids begin that one call made up for this queue, as the scripts keep it in mind; empty where
    the id is to be known by itself.
    """

    id: str
    data: bytes
    priority: int
    ttl: float | None
    delay: float
    stem: str


class Queue:
    """What this process knows of a queue."""

    __slots__ = (
        "acks", "fast_done", "fast_receives", "fast_sends", "fast_stem", "full_turn", "indexed_at", "keys", "life",
        "listed", "name", "offset", "sends", "told_at", "window",
    )  # fmt: skip

    def __init__(
        self, name: str, keys: wire.Keys, sends: Batcher[Outgoing, SendResult], acks: Batcher[Delivery, bool]
    ) -> None:
        self.name, self.keys, self.sends, self.acks = name, keys, sends, acks
        self.indexed_at = float("-inf")
        """When it was last entered in the index, by our clock."""
        self.told_at = float("-inf")
        """When `QueueFilled` was last published, by our clock."""
        self.window = 0.0
        """The queue's dedup_window in seconds, as the last full send told it; so is what follows."""
        self.life = 0.0
        """Its ttl in seconds."""
        self.listed = True
        """Whether it was entered in the index since it began."""
        self.fast_sends, self.fast_receives = FastPath(), FastPath()
        self.fast_stem = ""
        """The stem of the last batch in flight on the fast path: the next looks whether it was accepted."""
        self.fast_done: anyio.Event | None = None
        """Set when none is in flight there any more; there is one once somebody has waited for it."""
        self.full_turn = anyio.Lock(fast_acquire=True)
        """Held by whoever waits for that; those behind wait for it in turn."""
        self.offset: float | None = None
        """What has to be added to our clock for its server's, in µs."""


class Queues:
    """Finds queues by name, enters them in the index before there is anything in them, and forgets idle ones."""

    def __init__(self, store: Store, index: QueueIndex, settings: MessagesConfig, make: Callable[[str], Queue]) -> None:
        self._store, self._index, self._settings, self._make = store, index, settings, make
        self._known: OrderedDict[str, Queue] = OrderedDict()

    def settings(self, name: str) -> QueueSettings:
        """Return what this process's config says of a queue."""
        return self._settings.of(name)

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def __getitem__(self, name: str) -> Queue:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._make(name)
            over = max(0, len(self._known) - _QUEUES)
            for old, each in list(itertools.islice(self._known.items(), over)):
                if each.sends.idle and each.acks.idle:
                    del self._known[old]
        else:
            self._known.move_to_end(name)
        return known

    async def enter(self, queue: Queue, life: float = 0.0) -> None:
        """See to it that the queue can be found before there is anything in it."""
        if monotonic() - queue.indexed_at >= _INDEX_EVERY:
            await self._enter(queue, life)

    async def list(self, queue: Queue) -> None:
        """Let a queue be found that has begun anew since it was entered."""
        await self._enter(queue)
        await self._store.run(self._store.scripts.admin, queue.name, queue.keys, ("listed",), retry=True)
        queue.listed = True

    async def _enter(self, queue: Queue, life: float = 0.0) -> None:
        now, own = monotonic(), self.settings(queue.name)
        await self._index.enter(queue.name, 2 * min(max(life, own.ttl + own.dead_ttl, 86_400.0), wire.FOR_EVER))
        queue.indexed_at = now

    async def each(self, name: str | None, do: Callable[[Queue], Awaitable[R]]) -> dict[str, R]:
        """Do something to one queue, or to all that there are."""
        if name is not None:
            return {name: await do(self[check_queue(name)])}
        names, found, errors = deque(await self._index.names()), dict[str, R](), list[MessagesError]()

        async def work() -> None:
            while names and not errors:
                name = names.popleft()
                try:
                    found[name] = await do(self[name])
                except MessagesError as exc:
                    errors.append(exc)

        async with anyio.create_task_group() as tasks:
            for _ in range(min(_AT_ONCE, len(names))):
                tasks.start_soon(work)
        if errors:
            raise errors[0]
        return dict(sorted(found.items()))


async def by_queue(
    queues: Queues,
    deliveries: Sequence[Delivery],
    do: Callable[[Queue, Sequence[Delivery]], Awaitable[Sequence[bool]]],
) -> Sequence[bool]:
    """Do something to the deliveries of each queue together; results in the order of all."""
    groups: dict[str, list[Delivery]] = {}
    for delivery in deliveries:
        groups.setdefault(delivery.message.queue, []).append(delivery)
    if len(groups) == 1:
        return await do(queues[deliveries[0].message.queue], deliveries)
    results = {name: iter(await do(queues[name], group)) for name, group in groups.items()}
    return [next(results[delivery.message.queue]) for delivery in deliveries]
