"""The way out: one round trip acknowledges and receives; who finds nothing is called."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from time import monotonic
from typing import Any

import anyio

from tta_messages import Delivery, Settled
from tta_messages.prepare import check_queue, check_receive, shorten

from . import layout, wire
from .bell import Bell, Waiter
from .shared import CHUNK, UNUSUAL, Queue, Shared
from .store import Unknown

_AT_ONCE = 0.5


class Receiving(Shared):
    """Receives, and settles what was received."""

    _bell: Bell

    async def hear(self) -> None:
        """Listen for who is called."""
        await self._bell.run()

    async def receive(
        self, queue: str, *, limit: int = 1, wait: float = 0.0, visibility: float | None = None,
        done: Collection[Delivery] = (),
    ) -> Sequence[Delivery]:  # fmt: skip
        check_receive(queue, limit, wait, visibility)
        known = self._queue(queue)
        own: Sequence[Delivery] = await self._leave_for_cycle(queue, done) if done else ()
        if not wait:
            return (await self._cycle(known, limit, visibility, own))[0]
        until = monotonic() + wait
        hears = await self._bell.ready(min(wait, 1.0))
        waiter: Waiter | None = None
        try:
            while True:
                rest = until - monotonic()
                state = "" if waiter is None else "1" if rest > 0 else "0"
                if hears and waiter is None and rest > 0:
                    waiter = self._bell.listen(queue, self._nonce(), limit, _seconds(visibility) or "-")
                try:
                    held, due = await self._cycle(known, limit, visibility, own, waiter, state)
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
                    self._bell.leave(waiter)
                    waiter = None
                    return held
                # Less than 0: called, but not heard yet; that comes at once, if at all.
                patience = _AT_ONCE if due < 0 else min(rest, due + 0.001, self._random.uniform(0.8, 1.2))
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

    def _give_up(self, waiter: Waiter | None) -> None:
        """Wait no longer, and hand on what has come by then, or what may still come."""
        if waiter is None:
            return
        self._bell.leave(waiter)
        if waiter.called and not waiter.missed:
            self._unheard(waiter.queue, waiter.hold, bool(waiter.handed))
        else:
            self._soon(self._abandon, self._queue(waiter.queue), waiter.hold, waiter.entry)

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
        except ValueError:  # Let the usual way find out what it is.
            self._unheard(waiter.queue, waiter.hold, True)  # noqa: FBT003
            return ()
        return held

    async def _leave_for_cycle(self, queue: str, done: Collection[Delivery]) -> Sequence[Delivery]:
        """Acknowledge what can't be with the receive itself, and return the rest."""
        own = [delivery for delivery in done if delivery.message.queue == queue]
        others = [delivery for delivery in done if delivery.message.queue != queue]
        if others or len(own) > CHUNK:
            await self.ack(*others, *own[CHUNK:])
        return own[:CHUNK]

    async def _cycle(
        self,
        queue: Queue,
        limit: int,
        visibility: float | None,
        done: Sequence[Delivery],
        waiter: Waiter | None = None,
        state: str = "",
    ) -> tuple[list[Delivery], float]:
        """Acknowledge and receive; the deliveries, and in how many seconds something is due, less than 0 if called."""
        hold = self._nonce()
        args: list[Any] = [hold, limit, _seconds(visibility), waiter.entry if waiter else "", state]
        _add_done(args, done)
        scripts = self._store.scripts
        infos: Sequence[Any] = ()
        try:
            if reply := await self._cycle_quickly(queue, args):
                joined, values, deadline, due = reply
            else:
                reply = await self._store.run(scripts.receive, queue.name, queue.keys, args)
                _, _, joined, values, infos, deadline, due = reply
        except (anyio.get_cancelled_exc_class(), Unknown):
            self._soon(self._abandon, queue, hold)
            raise
        deadline = int(deadline) / 1e6
        held: list[Delivery] = []
        decode = self._codec.decode
        for number, (id, value) in enumerate(zip(joined.split(), values, strict=False)):
            attempts, error, suspect = wire.history(infos[number]) if infos else (0, "", False)
            try:
                message = decode(value[layout.VALUE.size :])
                if message.id != id.decode() or message.queue != queue.name:
                    raise ValueError("it is another message")
            except ValueError:
                self._soon(self._quarantine, queue, id, hold)
                continue
            held.append(Delivery(message, hold, deadline, attempts + 1, error, suspect))
        return held, 0 if values else int(due) / 1e6

    async def _cycle_quickly(self, queue: Queue, args: Sequence[Any]) -> Sequence[Any]:
        """Try the script for the usual case; nothing where this isn't one."""
        if queue.unusual[1]:
            queue.unusual[1] -= 1
            return ()
        keys = queue.keys
        reply = await self._store.quick(self._store.scripts.fast_receive, keys.fast_receive, keys.settings, args)
        if not reply:
            queue.unusual[1] = UNUSUAL
            return ()
        found: Sequence[Any] = reply[:4]
        odd = reply[4]
        if odd:
            await self._store.look_after(queue.name, queue.keys)
        return found

    async def ack(self, *deliveries: Delivery) -> Sequence[bool]:
        return await self._each(deliveries, self._ack)

    async def _ack(self, queue: Queue, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        if len(deliveries) <= CHUNK:
            return await queue.acks.put(deliveries)
        under_way = [queue.acks.submit(deliveries[n : n + CHUNK]) for n in range(0, len(deliveries), CHUNK)]
        return [acknowledged for part in under_way for acknowledged in await part]

    async def _fly_acks(self, queue: Queue, batches: Sequence[Sequence[Delivery]]) -> Sequence[Sequence[bool]]:
        found: list[Sequence[bool]] = []
        for batch in batches:
            args: list[Any] = [self._nonce(), 0, "", "", ""]
            places = _add_done(args, batch)
            codes = await self._acknowledge(queue, args)
            results = [True] * len(batch)
            for place, code in zip(places, codes, strict=False):
                results[place] = code == 49
            found.append(results)
        return found

    async def _acknowledge(self, queue: Queue, args: Sequence[Any]) -> bytes:
        scripts = self._store.scripts
        try:
            if await self._cycle_quickly(queue, args):
                return b""
        except Unknown:
            reply = await self._store.run(scripts.receive, queue.name, queue.keys, args)
            if not _all(reply):  # It is done either way, but who can say which of the two did it?
                raise
        else:
            reply = await self._store.once(scripts.receive, queue.name, queue.keys, args, _all)
        codes: bytes = reply[0]
        return codes

    async def nack(
        self, delivery: Delivery, *, error: str = "", permanent: bool = False, delay: float | None = None
    ) -> Settled:
        pause = "" if delay is None else min(max(delay, 0.0), wire.FOR_EVER)
        args = (
            "nack",
            delivery.message.id,
            delivery.token,
            shorten(error),
            int(permanent),
            pause,
            self._random.random(),
        )
        result = await self._settle(delivery.message.queue, args, lambda reply: reply[0] != b"stale")
        return Settled(result.decode())

    async def release(self, *deliveries: Delivery) -> Sequence[bool]:
        return await self._each(deliveries, self._release)

    async def _release(self, queue: Queue, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        found: list[bool] = []
        # The last first, so that the first are at the head in the end.
        for start in reversed(range(0, len(deliveries), CHUNK)):
            args: list[Any] = ["release"]
            for delivery in deliveries[start : start + CHUNK]:
                args += (delivery.message.id, delivery.token)
            codes = await self._settle(queue.name, args, lambda reply: b"0" not in reply[0])
            found[:0] = [code == 49 for code in codes]
        return found

    async def extend(self, delivery: Delivery, seconds: float) -> bool:
        args = ("extend", delivery.message.id, delivery.token, min(seconds, wire.FOR_EVER))
        return await self._settle(delivery.message.queue, args, lambda reply: True) == b"1"

    async def cancel(self, queue: str, id: str) -> bool:
        return await self._settle(check_queue(queue), ("cancel", id), lambda reply: reply[0] == b"1") == b"1"

    async def _settle(self, queue: str, args: Sequence[Any], done: Callable[[Any], bool]) -> bytes:
        known = self._queue(queue)
        reply = await self._store.once(self._store.scripts.settle, queue, known.keys, args, done)
        result: bytes = reply[0]
        return result

    async def _abandon(self, queue: Queue, *hold_and_entry: str) -> None:
        """Give back what a receive got that nobody waits for any more."""
        args = ("abandon", *hold_and_entry)
        await self._store.run(self._store.scripts.admin, queue.name, queue.keys, args, retry=True)

    def _unheard(self, queue: str, hold: str, handed: bool) -> None:
        """Somebody was called who has gone."""
        if handed:
            self._soon(self._abandon, self._queue(queue), hold)
        else:
            self._pass_on(queue)

    async def _quarantine(self, queue: Queue, id: bytes, hold: str) -> None:
        args = ("corrupt", id, hold, "its envelope cannot be read")
        await self._store.run(self._store.scripts.settle, queue.name, queue.keys, args, retry=True)

    def _pass_on(self, queue: str) -> None:
        """Call another process: this one was called, and doesn't wait any more."""
        if queue in self._queues:
            self._soon(self._poke, self._queues[queue])

    async def _poke(self, queue: Queue) -> None:
        args = [self._nonce(), 0, "", "", ""]
        await self._store.run(self._store.scripts.receive, queue.name, queue.keys, args, retry=True)


def _seconds(visibility: float | None) -> float | str:
    return "" if visibility is None else min(visibility, wire.FOR_EVER)


def _add_done(args: list[Any], done: Sequence[Delivery]) -> Sequence[int]:
    """Add what is done, by hold; return where each stood."""
    if not done:
        return ()
    token = done[0].token
    if all(delivery.token == token for delivery in done):
        args.append(token)
        args.append(" ".join([delivery.message.id for delivery in done]))
        return range(len(done))
    by_hold: dict[str, list[int]] = {}
    for place, delivery in enumerate(done):
        by_hold.setdefault(delivery.token, []).append(place)
    for hold, places in by_hold.items():
        args += (hold, " ".join([done[place].message.id for place in places]))
    return [place for places in by_hold.values() for place in places]


def _all(reply: Sequence[Any]) -> bool:
    return not reply[0]
