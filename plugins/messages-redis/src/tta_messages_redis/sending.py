"""The way in: batches, one script each, and who subscribes to what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct
from time import monotonic
from typing import Any, NamedTuple

import anyio
import msgspec

from tta_messages import Filter, Message, MessagesError, QueueFilled, SendResult, Subscription

from . import wire
from .shared import CHUNK, UNUSUAL, Outgoing, Queue, Shared
from .store import Unknown
from .subscriptions import Subscriptions

_BYTES = 4_000_000
_END = Struct(">d").pack


class Call(NamedTuple):
    """A batch as the scripts are told of it."""

    mark: str
    """By which it can be found out whether this batch, and no other, was accepted whole."""
    usual: bool
    """Whether `fast_send` may have it: one priority, one time to live, no delay."""
    ttl: float | None
    chosen: bool
    """Whether some ids weren't made up just now, so that they may have been sent before."""
    others: Mapping[int, tuple[float | bool, float]]
    remembered: Sequence[str]
    head: bytes
    """When they end, if they live as long as the queue says."""
    batch: Sequence[Outgoing]

    def quick(self, before: str) -> Sequence[Any]:
        """Return what `fast_send` is told, after what all are."""
        ttl = "" if self.ttl is None else min(self.ttl, wire.FOR_EVER)
        return (before, ttl, b"chosen" if self.chosen else b"", len(self.remembered), *self.remembered, *self._pairs())

    def whole(self, *, again: bool = False) -> Sequence[Any]:
        """Return what `send` is told, after what all are."""
        others = msgspec.msgpack.encode(self.others) if self.others else b""
        return (others, b"again" if again else b"", len(self.remembered), *self.remembered, *self._pairs())

    def _pairs(self) -> list[str | bytes]:
        """Return ids and values by turns."""
        return [part for item in self.batch for part in (item.id, self.head + item.data)]


class Sending(Shared):
    """Sends, and publishes to who has subscribed."""

    _subscriptions: Subscriptions

    async def send(self, *messages: Message) -> Sequence[SendResult]:
        results: list[SendResult | None] = []
        by_queue: dict[str, list[Outgoing]] = {}
        mark, number, queue, prepare = "", 0, None, self._codec.prepare
        for message in messages:
            if message.queue != queue:
                queue, mark, number = message.queue, self._codec.new_id(), 0
            prepared = prepare(message, f"{mark}.{number}")
            number += 1
            if isinstance(prepared, SendResult):
                results.append(prepared)
                continue
            stored, data = prepared
            results.append(None)
            by_queue.setdefault(stored.queue, []).append(
                Outgoing(
                    stored.id,
                    wire.value_of(stored, data),
                    int(stored.priority),
                    stored.ttl,
                    stored.delay,
                    "" if message.id else " " + mark,
                )
            )
        if any(results):  # A mark that stands for a refused one would say that it was sent.
            by_queue = {name: _unmarked(items) for name, items in by_queue.items()}
        found = await self._send(by_queue)
        for those in found.values():
            if len(those) == len(messages):  # The way of nearly all.
                return those
        sent = {name: iter(those) for name, those in found.items()}
        return [result or next(sent[message.queue]) for result, message in zip(results, messages, strict=True)]

    async def _send(self, by_queue: Mapping[str, Sequence[Outgoing]]) -> Mapping[str, Sequence[SendResult]]:
        if len(by_queue) == 1:
            ((name, items),) = by_queue.items()
            queue = self._queue(name)
            await self._index(queue)
            if len(items) == 1 or _fits(items):
                return {name: await queue.sends.put(items)}
        under_way = []
        for name, items in by_queue.items():
            queue = self._queue(name)
            await self._index(queue)
            parts = _parts(items)
            under_way += [(name, queue.sends.submit(part if len(parts) == 1 else _unmarked(part))) for part in parts]
        results: dict[str, list[SendResult]] = {name: [] for name in by_queue}
        error: MessagesError | None = None
        for name, waiting in under_way:
            try:
                results[name] += await waiting
            except MessagesError as exc:  # The others have to be waited for, too.
                error = exc
        if error is not None:
            raise error
        return results

    async def _fly(self, queue: Queue, batches: Sequence[Sequence[Outgoing]]) -> Sequence[Sequence[SendResult]]:
        script = self._store.scripts.send
        calls = [self._call(queue, batch) for batch in batches]
        if self._config.wait_replicas:
            return [await self._replicated(queue, *each) for each in zip(batches, calls, strict=True)]
        done, replies = 0, []
        try:
            done = await self._fly_quickly(queue, calls)
            if rest := calls[done:]:
                replies = await self._store.run_all(script, queue.name, queue.keys, [call.whole() for call in rest])
        except Unknown:
            if not self._remembers(queue):
                raise
            again = [call.whole(again=True) for call in calls]
            done = 0
            replies = [await self._store.run(script, queue.name, queue.keys, args, retry=True) for args in again]
        results: list[Sequence[SendResult]] = [
            [SendResult(item.id, True) for item in batch]  # noqa: FBT003 - the way of nearly all
            for batch in batches[:done]
        ]
        results += [self._results(queue, batch, reply) for batch, reply in zip(batches[done:], replies, strict=True)]
        if not queue.listed:
            await self._list(queue)
        return results

    async def _fly_quickly(self, queue: Queue, calls: Sequence[Call]) -> int:
        """Try the script for the usual case; return how many batches, from the first on, were one.

        Each names the one before it, and does nothing unless that was accepted: so none is overtaken,
        although all are under way at once.
        """
        usual = not queue.unusual[0] and queue.offset is not None and all(call.usual for call in calls)
        if not usual or queue.turn.locked():
            async with queue.turn:  # Whoever comes now waits behind this one.
                if not usual and queue.trying:
                    queue.tried = anyio.Event()
                    await queue.tried.wait()
        if not usual:
            queue.unusual[0] -= queue.unusual[0] > 0
            return 0
        scripts = []
        before, queue.trying = queue.trying, calls[-1].mark
        own, keys = queue.trying, queue.keys
        for call in calls:
            scripts.append(call.quick(before))
            before = call.mark
        try:
            codes = await self._store.quick_all(self._store.scripts.fast_send, keys.fast_send, keys.settings, scripts)
        finally:
            if queue.trying == own:
                queue.trying = ""
                if queue.tried is not None:
                    queue.tried.set()
        if 2 in codes:
            await self._store.look_after(queue.name, queue.keys)
        if 0 in codes:
            queue.unusual[0] = UNUSUAL
            return codes.index(0)
        return len(codes)

    def _remembers(self, queue: Queue) -> bool:
        """Whether what is sent a second time, because the first answer was lost, finds what the first has done."""
        return queue.window > 2 * self._redis.config.command_timeout

    async def _replicated(self, queue: Queue, batch: Sequence[Outgoing], call: Call) -> Sequence[SendResult]:
        script, replicas = self._store.scripts.send, self._config.wait_replicas
        how: dict[str, Any] = {"replicas": replicas, "patience": self._config.wait_timeout}
        try:
            reply, count = await self._store.run_replicated(script, queue.name, queue.keys, call.whole(), **how)
        except Unknown:
            if not self._remembers(queue):
                raise
            again = call.whole(again=True)
            reply, count = await self._store.run_replicated(script, queue.name, queue.keys, again, retry=True, **how)
        results = self._results(queue, batch, reply)
        return results if count >= replicas else [_doubtful(each, count, replicas) for each in results]

    def _call(self, queue: Queue, batch: Sequence[Outgoing]) -> Call:
        clock = 0.0 if queue.offset is None else monotonic() * 1e6 + queue.offset
        head = _END(clock + queue.life * 1e6)
        priority, ttl, usual, last = batch[0].priority, batch[0].ttl, True, ""
        chosen: list[str] = []
        marks: list[str] = []
        others: dict[int, tuple[float | bool, float]] = {}
        for number, item in enumerate(batch, 1):
            if not item.mark:
                chosen.append(item.id)
            elif item.mark != last:
                last = item.mark
                marks.append(last)
            if item.ttl is not None or item.delay:
                own = False if item.ttl is None else min(item.ttl, wire.FOR_EVER)
                others[number] = (own, min(item.delay, wire.FOR_EVER))
            if item.priority != priority or item.ttl != ttl or item.delay:
                usual = False
        if not marks:
            marks.append(" " + self._nonce())
        return Call(marks[-1], usual, ttl, bool(chosen), others, chosen + marks, head, batch)

    def _results(self, queue: Queue, batch: Sequence[Outgoing], reply: Sequence[Any]) -> list[SendResult]:
        codes, _, length, window, listed, clock, life = reply
        queue.listed = bool(listed)
        queue.window = int(window) / 1000
        queue.offset = int(clock) - monotonic() * 1e6
        queue.life = float(life)
        if not codes:
            return [SendResult(item.id, True) for item in batch]  # noqa: FBT003 - the way of nearly all
        results = []
        for code, item in zip(codes.decode(), batch, strict=True):
            if code == "2":
                detail = f"{length} messages are waiting, delayed or held"
                results.append(SendResult(item.id, delivered=False, error="queue_full", detail=detail))
            else:
                results.append(SendResult(item.id, delivered=True, duplicate=code == "1"))
        now = monotonic()
        if b"2" in codes and now - queue.told_at >= 1.0:
            queue.told_at = now
            self._publish(QueueFilled(queue=queue.name))
        return results

    async def broadcast(self, message: Message, queues: Sequence[str]) -> Sequence[SendResult]:
        return await self.send(*self._codec.copies(message, queues))

    async def publish(self, message: Message) -> Sequence[SendResult]:
        return await self.broadcast(message, await self._subscriptions.queues(message))

    async def subscribe(self, queue: str, wanted: Filter, *, ttl: float = 3600.0) -> Subscription:
        return await self._subscriptions.add(queue, wanted, ttl)

    async def unsubscribe(self, id: str) -> bool:
        return await self._subscriptions.remove(id)

    async def subscriptions(self, queue: str | None = None) -> Sequence[Subscription]:
        return [each for each in await self._subscriptions.all() if queue in (None, each.queue)]


def _doubtful(result: SendResult, count: int, replicas: int) -> SendResult:
    if not result.delivered:
        return result
    detail = f"{count} of {replicas} replicas have it"
    return SendResult(result.id, delivered=True, error="not_replicated", detail=detail, duplicate=result.duplicate)


def _fits(items: Sequence[Outgoing]) -> bool:
    return len(items) <= CHUNK and sum(len(item.data) for item in items) <= _BYTES


def _parts(items: Sequence[Outgoing]) -> list[Sequence[Outgoing]]:
    """Split what is too much for one script."""
    parts: list[list[Outgoing]] = [[]]
    size = 0
    for item in items:
        if parts[-1] and (len(parts[-1]) >= CHUNK or size + len(item.data) > _BYTES):
            parts.append([])
            size = 0
        parts[-1].append(item)
        size += len(item.data)
    return list(parts)


def _unmarked(items: Sequence[Outgoing]) -> list[Outgoing]:
    """Let each id be remembered by itself."""
    return [msgspec.structs.replace(item, mark="") for item in items]
