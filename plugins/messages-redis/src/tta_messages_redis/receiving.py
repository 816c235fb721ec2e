"""The way out: receivers look once, and then wait to be woken, or handed messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from random import Random
from time import monotonic

import anyio

from tta_messages import Codec, Delivery
from tta_messages.prepare import check_receive

from . import layout, wire
from .background import Background
from .exchange import Exchange
from .names import Names
from .queues import CHUNK, Queue, Queues
from .store import Store, Unknown
from .wakeups import Waiter, Wakeups

Acknowledge = Callable[[Sequence[Delivery]], Awaitable[Sequence[bool]]]
_SOON = 0.5
"""Seconds in which what was published must have come, if it comes at all."""


class Receiver:
    """Receives; gives back what nobody waits for any more."""

    def __init__(
        self,
        queues: Queues,
        store: Store,
        exchange: Exchange,
        codec: Codec,
        names: Names,
        random: Random,
        background: Background,
        *,
        acknowledge: Acknowledge,
    ) -> None:
        self._queues, self._store, self._exchange, self._codec = queues, store, exchange, codec
        self._names, self._random, self._background = names, random, background
        self._acknowledge = acknowledge
        self.wakeups = Wakeups(store.redis, store.channel, self._unheard)

    async def receive(
        self, queue: str, *, limit: int, wait: float, visibility: float | None, done: Collection[Delivery]
    ) -> Sequence[Delivery]:
        """Acknowledge what is done, and hold up to ``limit`` messages, waiting for the first up to ``wait`` seconds."""
        check_receive(queue, limit, wait, visibility)
        known = self._queues[queue]
        own: Sequence[Delivery] = await self._acknowledge_others(queue, done) if done else ()
        if not wait:
            return (await self._look(known, limit, visibility, own))[0]
        until = monotonic() + wait
        hears = await self.wakeups.ready(min(wait, 1.0))
        waiter: Waiter | None = None
        try:
            while True:
                rest = until - monotonic()
                waiting = "" if waiter is None else "1" if rest > 0 else "0"
                if hears and waiter is None and rest > 0:
                    waiter = self.wakeups.listen(queue, self._names.new(), limit, _seconds(visibility) or "-")
                try:
                    held, due = await self._look(known, limit, visibility, own, waiter, waiting)
                except Unknown:
                    # Perhaps it received something, which was given back. If it had to acknowledge, only the caller
                    # knows what to do; otherwise look again.
                    if own or monotonic() >= until:
                        raise
                    self._give_up(waiter)
                    waiter = None
                    continue
                own = ()
                if held or (rest <= 0 and due >= 0):
                    self.wakeups.leave(waiter)
                    waiter = None
                    return held
                # Woken, by what Redis says, but not told yet: that comes at once, if at all. Otherwise it looks
                # once a second, by its own accord, and not all at the same time.
                patience = _SOON if due < 0 else min(rest, due + 0.001, self._random.uniform(0.8, 1.2))
                if waiter is None:
                    await anyio.sleep(patience)
                    continue
                await waiter.wait(patience)
                if waiter.called and not waiter.missed:
                    handed = self._handed(waiter)
                    waiter = None
                    if handed:
                        return handed
                elif waiter.missed or due < 0:
                    self._give_up(waiter)
                    waiter = None
        finally:
            self._give_up(waiter)

    async def _acknowledge_others(self, queue: str, done: Collection[Delivery]) -> Sequence[Delivery]:
        """Acknowledge what can't be with the receive itself, and return the rest."""
        own = [delivery for delivery in done if delivery.message.queue == queue]
        others = [delivery for delivery in done if delivery.message.queue != queue]
        if others or len(own) > CHUNK:
            await self._acknowledge([*others, *own[CHUNK:]])
        return own[:CHUNK]

    async def _look(
        self,
        queue: Queue,
        limit: int,
        visibility: float | None,
        done: Sequence[Delivery],
        waiter: Waiter | None = None,
        waiting: str = "",
    ) -> tuple[list[Delivery], float]:
        """Acknowledge and receive; the deliveries, and in how many seconds something is due, less than 0 if woken."""
        hold = self._names.new()
        entry = waiter.entry if waiter else ""
        try:
            got = await self._exchange.receive(
                queue, hold, limit=limit, visibility=_seconds(visibility), done=done, entry=entry, waiting=waiting
            )
        except (anyio.get_cancelled_exc_class(), Unknown):
            # Nobody else knows this hold: what is in it goes back, as if it had never been received.
            self._background.soon(self._abandon, queue, hold)
            raise
        held: list[Delivery] = []
        decode, infos = self._codec.decode, got.infos
        for number, (id, value) in enumerate(zip(got.ids, got.values, strict=False)):
            attempts, error, suspect = wire.read_retry(infos[number]) if infos else (0, "", False)
            try:
                message = decode(value[layout.VALUE.size :])
                if message.id != id.decode() or message.queue != queue.name:
                    raise ValueError("it is another message")
            except ValueError:
                self._background.soon(self._reject, queue, id, hold)
                continue
            held.append(Delivery(message, hold, got.deadline, attempts + 1, error, suspect))
        return held, got.due

    def _handed(self, waiter: Waiter) -> Sequence[Delivery]:
        """Return what was handed over, if anything."""
        if not waiter.handed:
            return ()
        held: list[Delivery] = []
        deadline, envelopes = wire.read_handed(waiter.handed)
        try:
            for envelope in envelopes:
                message = self._codec.decode(envelope)
                if message.queue != waiter.queue:
                    raise ValueError("it is another message")
                held.append(Delivery(message, waiter.hold, deadline))
        except ValueError:  # Give it back, so that the full path finds out what it is.
            self._unheard(waiter.queue, waiter.hold, True)  # noqa: FBT003
            return ()
        return held

    def _give_up(self, waiter: Waiter | None) -> None:
        """Wait no longer, and hand on what has come by then, or what may still come."""
        if waiter is None:
            return
        self.wakeups.leave(waiter)
        if waiter.called and not waiter.missed:
            self._unheard(waiter.queue, waiter.hold, bool(waiter.handed))
        else:
            self._background.soon(self._abandon, self._queues[waiter.queue], waiter.hold, waiter.entry)

    def _unheard(self, queue: str, hold: str, handed: bool) -> None:
        """See to it that a receiver that is gone takes nothing with it: neither messages nor the turn to be woken."""
        if handed:
            self._background.soon(self._abandon, self._queues[queue], hold)
        elif queue in self._queues:
            self._background.soon(self._exchange.pass_on, self._queues[queue])

    async def _abandon(self, queue: Queue, *hold_and_entry: str) -> None:
        args = ("abandon", *hold_and_entry)
        await self._store.run(self._store.scripts.settle, queue.name, queue.keys, args, retry=True)

    async def _reject(self, queue: Queue, id: bytes, hold: str) -> None:
        args = ("corrupt", id, hold, "its envelope cannot be read")
        await self._store.run(self._store.scripts.settle, queue.name, queue.keys, args, retry=True)


def _seconds(visibility: float | None) -> float | str:
    return "" if visibility is None else min(visibility, wire.FOR_EVER)
