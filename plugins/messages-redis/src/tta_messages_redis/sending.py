"""The way in: what one call sends becomes batches, one or more for each queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tta_messages import Codec, Message, MessagesError, SendResult

from . import wire
from .queues import CHUNK, Outgoing, Queues

_BYTES = 4_000_000
"""In one script, at most: Redis does nothing else while it reads and runs it."""


class Sender:
    """Parts what one call sends by queue and size, and gathers the results."""

    def __init__(self, queues: Queues, codec: Codec) -> None:
        self._queues, self._codec = queues, codec

    async def send(self, messages: Sequence[Message]) -> Sequence[SendResult]:
        """Send messages to their queues, those of one queue together; a result for each, in order."""
        results: list[SendResult | None] = []
        by_queue: dict[str, list[Outgoing]] = {}
        stem, number, queue, prepare = "", 0, None, self._codec.prepare
        for message in messages:
            if message.queue != queue:
                queue, stem, number = message.queue, self._codec.new_id(), 0
            prepared = prepare(message, f"{stem}.{number}")
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
                    "" if message.id else " " + stem,
                )
            )
        if any(results):  # A stem that stands for a refused one, too, would say that it was sent.
            by_queue = {name: _without_stem(items) for name, items in by_queue.items()}
        found = await self._send(by_queue)
        for those in found.values():
            if len(those) == len(messages):  # The way of nearly all.
                return those
        sent = {name: iter(those) for name, those in found.items()}
        return [result or next(sent[message.queue]) for result, message in zip(results, messages, strict=True)]

    async def _send(self, by_queue: Mapping[str, Sequence[Outgoing]]) -> Mapping[str, Sequence[SendResult]]:
        if len(by_queue) == 1:
            ((name, items),) = by_queue.items()
            queue = self._queues[name]
            await self._queues.enter(queue)
            if len(items) == 1 or _fits(items):
                return {name: await queue.sends.put(items)}
        under_way = []
        for name, items in by_queue.items():
            queue = self._queues[name]
            await self._queues.enter(queue)
            parts = _parts(items)
            under_way += [
                (name, queue.sends.submit(part if len(parts) == 1 else _without_stem(part))) for part in parts
            ]
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


def _without_stem(items: Sequence[Outgoing]) -> list[Outgoing]:
    """Let each id be remembered by itself."""
    return [msgspec.structs.replace(item, stem="") for item in items]
