"""Brings batches of messages to Redis: by the fast script those that may, and no batch before the one ahead of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple

import anyio
import msgspec

from tta_kernel import Event
from tta_messages import QueueFilled, SendResult

from . import layout, wire
from .config import Config
from .names import Names
from .queues import Outgoing, Queue
from .store import Store, Unknown


class _Arguments(NamedTuple):
    """What the scripts are told of a batch."""

    stem: str
    """By which it can be found out whether this batch, and no other, was accepted whole."""
    eligible: bool
    """Whether `fast_send` may have it: one priority, one time to live, no delay."""
    ttl: float | None
    """The time to live that all have, where it is eligible; None: as the queue says."""
    chosen: bool
    """Whether some ids weren't made up just now, so that they may have been sent before."""
    times: Mapping[int, tuple[float | bool, float]]
    """By place, from 1 on: a time to live of its own, or False, and a delay; of those that have either."""
    remembered: Sequence[str]
    """What says afterwards that they were sent: chosen ids, and stems; the last is ``stem``."""
    head: bytes
    """When they end, if they live as long as the queue says."""
    items: Sequence[Outgoing]

    def fast(self, before: str) -> Sequence[Any]:
        """Return what `fast_send` is told, after what all are."""
        ttl = "" if self.ttl is None else min(self.ttl, wire.FOR_EVER)
        return (before, ttl, b"chosen" if self.chosen else b"", len(self.remembered), *self.remembered, *self._pairs())

    def full(self, *, again: bool = False) -> Sequence[Any]:
        """Return what `send` is told, after what all are."""
        times = msgspec.msgpack.encode(self.times) if self.times else b""
        return (times, b"again" if again else b"", len(self.remembered), *self.remembered, *self._pairs())

    def _pairs(self) -> list[str | bytes]:
        """Return ids and values by turns."""
        return [part for item in self.items for part in (item.id, self.head + item.data)]


class Transmitter:
    """Sends the batches of one queue; the results of each, in order."""

    def __init__(
        self,
        store: Store,
        config: Config,
        names: Names,
        publish: Callable[[Event], None],
        *,
        command_timeout: float,
    ) -> None:
        self._store, self._config, self._names, self._publish = store, config, names, publish
        self._command_timeout = command_timeout

    async def send(self, queue: Queue, waiting: Sequence[Sequence[Outgoing]]) -> Sequence[Sequence[SendResult]]:
        """Send some batches, in one round trip if all goes well."""
        script = self._store.scripts.send
        batches = [self._arguments(queue, items) for items in waiting]
        if self._config.wait_replicas:
            return [await self._replicated(queue, batch) for batch in batches]
        done, replies = 0, []
        try:
            done = await self._send_fast(queue, batches)
            if rest := batches[done:]:
                replies = await self._store.run_all(script, queue.name, queue.keys, [batch.full() for batch in rest])
        except Unknown:
            if not self._remembers(queue):
                raise
            # Again, and by the full script, which can tell what this very batch did the first time.
            again = [batch.full(again=True) for batch in batches]
            done = 0
            replies = [await self._store.run(script, queue.name, queue.keys, args, retry=True) for args in again]
        results: list[Sequence[SendResult]] = [
            [SendResult(item.id, True) for item in batch.items]  # noqa: FBT003 - the way of nearly all
            for batch in batches[:done]
        ]
        results += [self._results(queue, *each) for each in zip(batches[done:], replies, strict=True)]
        return results

    async def _send_fast(self, queue: Queue, batches: Sequence[_Arguments]) -> int:
        """Try the fast path; return how many batches, from the first on, were eligible.

        Each names the one before it, and does nothing unless that was accepted: so none is overtaken, although all are
        in flight at once. The full path can't tell, so it waits until nothing is in flight on the fast one.
        """
        fast = queue.fast_sends.open and queue.offset is not None and all(batch.eligible for batch in batches)
        if not fast or queue.full_turn.locked():
            async with queue.full_turn:  # Whoever comes now waits behind this one.
                if not fast and queue.fast_stem:
                    queue.fast_done = anyio.Event()
                    await queue.fast_done.wait()
        if not fast:
            queue.fast_sends.skipped()
            return 0
        calls = []
        before, queue.fast_stem = queue.fast_stem, batches[-1].stem
        own, keys = queue.fast_stem, queue.keys
        for batch in batches:
            calls.append(batch.fast(before))
            before = batch.stem
        try:
            codes = await self._store.fast_all(self._store.scripts.fast_send, keys.fast_send, keys.settings, calls)
        finally:
            if queue.fast_stem == own:
                queue.fast_stem = ""
                if queue.fast_done is not None:
                    queue.fast_done.set()
        if 2 in codes:  # as fast_send.lua replies: something foreign is in the way of what can wait
            await self._store.look_after(queue.name, queue.keys)
        if 0 in codes:  # Those behind it did nothing, either, since each looks for the one before it.
            queue.fast_sends.refused()
            return codes.index(0)
        return len(codes)

    def _remembers(self, queue: Queue) -> bool:
        """Whether what is sent a second time, because the first answer was lost, finds what the first has done."""
        return queue.window > 2 * self._command_timeout

    async def _replicated(self, queue: Queue, batch: _Arguments) -> Sequence[SendResult]:
        script, replicas = self._store.scripts.send, self._config.wait_replicas
        how: dict[str, Any] = {"replicas": replicas, "patience": self._config.wait_timeout}
        try:
            reply, count = await self._store.run_replicated(script, queue.name, queue.keys, batch.full(), **how)
        except Unknown:
            if not self._remembers(queue):
                raise
            again = batch.full(again=True)
            reply, count = await self._store.run_replicated(script, queue.name, queue.keys, again, retry=True, **how)
        results = self._results(queue, batch, reply)
        return results if count >= replicas else [_doubtful(each, count, replicas) for each in results]

    def _arguments(self, queue: Queue, items: Sequence[Outgoing]) -> _Arguments:
        clock = 0.0 if queue.offset is None else monotonic() * 1e6 + queue.offset
        head = layout.EXPIRES.pack(clock + queue.life * 1e6)
        priority, ttl, eligible, last = items[0].priority, items[0].ttl, True, ""
        chosen: list[str] = []
        stems: list[str] = []
        times: dict[int, tuple[float | bool, float]] = {}
        for number, item in enumerate(items, 1):
            if not item.stem:
                chosen.append(item.id)
            elif item.stem != last:
                last = item.stem
                stems.append(last)
            if item.ttl is not None or item.delay:
                own = False if item.ttl is None else min(item.ttl, wire.FOR_EVER)
                times[number] = (own, min(item.delay, wire.FOR_EVER))
            if item.priority != priority or item.ttl != ttl or item.delay:
                eligible = False
        if not stems:
            stems.append(" " + self._names.new())  # of no id: only to find this batch by
        return _Arguments(stems[-1], eligible, ttl, bool(chosen), times, chosen + stems, head, items)

    def _results(self, queue: Queue, batch: _Arguments, reply: Sequence[Any]) -> list[SendResult]:
        codes, _, length, window, listed, clock, life = reply
        queue.listed = bool(listed)
        queue.window = int(window) / 1000
        queue.offset = int(clock) - monotonic() * 1e6
        queue.life = float(life)
        if not codes:
            return [SendResult(item.id, True) for item in batch.items]  # noqa: FBT003 - the way of nearly all
        results = []
        for code, item in zip(codes.decode(), batch.items, strict=True):
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


def _doubtful(result: SendResult, count: int, replicas: int) -> SendResult:
    if not result.delivered:
        return result
    detail = f"{count} of {replicas} replicas have it"
    return SendResult(result.id, delivered=True, error="not_replicated", detail=detail, duplicate=result.duplicate)
