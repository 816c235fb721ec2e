"""What becomes of messages that are held: acknowledged, failed, given back, held for longer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tta_kernel import check_duration
from tta_messages import Delivery, Settled
from tta_messages.prepare import check_queue, shorten

from . import wire
from .queues import CHUNK, Queue, Queues, by_queue
from .store import Store


class Settler:
    """Settles deliveries of any queues, those of one queue together."""

    def __init__(self, queues: Queues, store: Store, random: Random) -> None:
        self._queues, self._store, self._random = queues, store, random

    async def ack(self, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        """Be done with them; False for each that wasn't held any more."""
        return await by_queue(self._queues, deliveries, self._ack)

    async def _ack(self, queue: Queue, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        if len(deliveries) <= CHUNK:
            return await queue.acks.put(deliveries)
        in_flight = [queue.acks.submit(deliveries[n : n + CHUNK]) for n in range(0, len(deliveries), CHUNK)]
        return [acknowledged for part in in_flight for acknowledged in await part]

    async def nack(self, delivery: Delivery, *, error: str, permanent: bool, delay: float | None) -> Settled:
        """Give one back as failed."""
        if delay is not None:
            check_duration("delay", delay)
        pause = "" if delay is None else min(delay, wire.FOR_EVER)
        message = delivery.message
        failure = (shorten(error), int(permanent), pause, self._random.random())
        args = ("nack", message.id, delivery.token, *failure)
        result = await self._run(message.queue, args, lambda reply: reply[0] != b"stale")
        return Settled(result.decode())

    async def release(self, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        """Give them back unharmed, to the head and in order."""
        return await by_queue(self._queues, deliveries, self._release)

    async def _release(self, queue: Queue, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        found: list[bool] = []
        # The last first, so that the first are at the head in the end.
        for start in reversed(range(0, len(deliveries), CHUNK)):
            args: list[Any] = ["release"]
            for delivery in deliveries[start : start + CHUNK]:
                args += (delivery.message.id, delivery.token)
            codes = await self._run(queue.name, args, lambda reply: b"0" not in reply[0])
            found[:0] = [code == ord("1") for code in codes]
        return found

    async def extend(self, delivery: Delivery, seconds: float) -> bool:
        """Hold one until that many seconds from now."""
        check_duration("seconds", seconds, positive=True)
        args = ("extend", delivery.message.id, delivery.token, min(seconds, wire.FOR_EVER))
        return await self._run(delivery.message.queue, args, lambda reply: True) == b"1"

    async def cancel(self, queue: str, id: str) -> bool:
        """Withdraw one that nobody holds."""
        args = ("cancel", id)
        return await self._run(check_queue(queue), args, lambda reply: reply[0] == b"1") == b"1"

    async def _run(self, queue: str, args: Sequence[Any], done: Callable[[Any], bool]) -> bytes:
        known = self._queues[queue]
        reply = await self._store.once(self._store.scripts.settle, queue, known.keys, args, done)
        result: bytes = reply[0]
        return result
