"""The way in: batches, one script each, and who subscribes to what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct
from time import monotonic
from typing import Any

import anyio
import msgspec

from tta_messages import Filter, Message, MessagesError, QueueFilled, SendResult, Subscription

from . import wire
from .shared import CHUNK, UNUSUAL, Outgoing, Queue, Shared
from .store import Unknown
from .subscriptions import Subscriptions

_BYTES = 4_000_000
_END = Struct(">d").pack


class Sending(Shared):
    """Sends, and publishes to who has subscribed."""

    _subscriptions: Subscriptions

    async def send(self, *messages: Message) -> Sequence[SendResult]:
        results: list[SendResult | None] = []
        by_queue: dict[str, list[Outgoing]] = {}
        for message in messages:
            prepared = self._codec.prepare(message)
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
                    not message.id,
                )
            )
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
            under_way += [(name, queue.sends.submit(part)) for part in _parts(items)]
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
        marks = [self._nonce() for _ in batches]
        calls = [self._arguments(queue, batch, mark) for batch, mark in zip(batches, marks, strict=True)]
        if self._config.wait_replicas:
            return [
                await self._replicated(queue, batch, call, mark)
                for batch, call, mark in zip(batches, calls, marks, strict=True)
            ]
        done, replies = 0, []
        try:
            done = await self._fly_quickly(queue, calls)
            if rest := calls[done:]:
                replies = await self._store.run_all(script, queue.name, queue.keys, rest)
        except Unknown:
            if not self._remembers(queue):
                raise
            calls = [
                self._arguments(queue, batch, mark, again=True) for batch, mark in zip(batches, marks, strict=True)
            ]
            done, replies = (
                0,
                [await self._store.run(script, queue.name, queue.keys, call, retry=True) for call in calls],
            )
        results: list[Sequence[SendResult]] = [
            [SendResult(item.id, True) for item in batch]  # noqa: FBT003 - the way of nearly all
            for batch in batches[:done]
        ]
        results += [self._results(queue, batch, reply) for batch, reply in zip(batches[done:], replies, strict=True)]
        if not queue.listed:
            await self._list(queue)
        return results

    async def _fly_quickly(self, queue: Queue, calls: Sequence[Sequence[Any]]) -> int:
        """Try the script for the usual case; return how many batches, from the first on, were one.

        Each names the one before it, and does nothing unless that was accepted: so none is overtaken,
        although all are under way at once.
        """
        usual = not queue.unusual[0] and queue.offset is not None and all(map(_usual, calls))
        if not usual or queue.turn.locked():
            async with queue.turn:  # Whoever comes now waits behind this one.
                if not usual and queue.trying:
                    queue.tried = anyio.Event()
                    await queue.tried.wait()
        if not usual:
            queue.unusual[0] -= queue.unusual[0] > 0
            return 0
        scripts = []
        before, queue.trying = queue.trying, calls[-1][0]
        own = queue.trying
        for mark, _, clock, life, priority, _, *pairs in calls:
            scripts.append((queue.keys.quick_send[priority], (mark, clock, life, before, *pairs)))
            before = mark
        try:
            codes = await self._store.quick_all(self._store.scripts.quick_send, queue.name, queue.keys, scripts)
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

    async def _replicated(
        self, queue: Queue, batch: Sequence[Outgoing], call: Sequence[Any], mark: str
    ) -> Sequence[SendResult]:
        script, replicas = self._store.scripts.send, self._config.wait_replicas
        how: dict[str, Any] = {"replicas": replicas, "patience": self._config.wait_timeout}
        try:
            reply, count = await self._store.run_replicated(script, queue.name, queue.keys, call, **how)
        except Unknown:
            if not self._remembers(queue):
                raise
            call = self._arguments(queue, batch, mark, again=True)
            reply, count = await self._store.run_replicated(script, queue.name, queue.keys, call, retry=True, **how)
        results = self._results(queue, batch, reply)
        return results if count >= replicas else [_doubtful(each, count, replicas) for each in results]

    def _arguments(self, queue: Queue, batch: Sequence[Outgoing], mark: str, *, again: bool = False) -> Sequence[Any]:
        others: dict[int, tuple[float | bool, float]] = {}
        clock = 0.0 if queue.offset is None else monotonic() * 1e6 + queue.offset
        head = _END(clock + queue.life * 1e6)
        priority, new = batch[0].priority, True
        args: list[Any] = [mark, b"", b"%.0f" % clock, repr(queue.life), priority, b"again"]
        for number, item in enumerate(batch, 1):
            args.append(item.id)
            args.append(head + item.data)
            if item.ttl is not None or item.delay:
                ttl = item.ttl
                others[number] = (False if ttl is None else min(ttl, wire.FOR_EVER), min(item.delay, wire.FOR_EVER))
            if item.priority != priority:
                args[4] = b""
            new = new and item.new
        if not again:
            args[5] = b"new" if new else b""
        if others:
            args[1] = msgspec.msgpack.encode(others)
        return args

    def _results(self, queue: Queue, batch: Sequence[Outgoing], reply: Sequence[Any]) -> list[SendResult]:
        codes, _, length, window, listed, *clock = reply
        queue.listed = bool(listed)
        queue.window = int(window) / 1000
        if clock:
            queue.offset = int(clock[0]) - monotonic() * 1e6
            queue.life = float(clock[1])
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


def _usual(call: Sequence[Any]) -> bool:
    _, others, _, _, priority, kind, *_ = call
    return not others and bool(priority) and kind == b"new"
