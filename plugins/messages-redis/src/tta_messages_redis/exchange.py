"""One round trip that acknowledges what is done and receives what is next: by the fast script if it may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tta_messages import Delivery

from .names import Names
from .queues import Queue
from .store import Store, Unknown


class Received(NamedTuple):
    """What a receive got."""

    ids: Sequence[bytes]
    values: Sequence[bytes]
    infos: Sequence[bytes | None]
    """Of each, or none at all: then none of them was received before."""
    deadline: float
    """Until when they are held, by the server's clock, in seconds."""
    due: float
    """In how many seconds something is due that may bring more; less than 0: it was woken."""


class Exchange:
    """Runs `fast_receive` and `receive`."""

    def __init__(self, store: Store, names: Names) -> None:
        self._store, self._names = store, names

    async def receive(
        self,
        queue: Queue,
        hold: str,
        *,
        limit: int,
        visibility: float | str,
        done: Sequence[Delivery],
        entry: str,
        waiting: str,
    ) -> Received:
        """Acknowledge, and hold up to ``limit`` messages; ``entry`` and ``waiting`` as receive.lua explains them."""
        args: list[Any] = [hold, limit, visibility, entry, waiting]
        _add_done(args, done)
        infos: Sequence[Any] = ()
        if reply := await self._fast(queue, args):
            joined, values, deadline, due = reply
        else:
            script = self._store.scripts.receive
            reply = await self._store.run(script, queue.name, queue.keys, args)
            _, _, joined, values, infos, deadline, due = reply
        return Received(joined.split(), values, infos, int(deadline) / 1e6, 0 if values else int(due) / 1e6)

    async def acknowledge(self, queue: Queue, batches: Sequence[Sequence[Delivery]]) -> Sequence[Sequence[bool]]:
        """Acknowledge, and receive nothing; for each batch, which of it were still held."""
        found: list[Sequence[bool]] = []
        for batch in batches:
            args = self._nothing()
            places = _add_done(args, batch)
            codes = await self._acknowledge(queue, args)
            results = [True] * len(batch)
            for place, code in zip(places, codes, strict=False):
                results[place] = code == ord("1")
            found.append(results)
        return found

    async def pass_on(self, queue: Queue) -> None:
        """Let the next that waits be woken: this process was, and nobody here waits any more."""
        script = self._store.scripts.receive
        await self._store.run(script, queue.name, queue.keys, self._nothing(), retry=True)

    def _nothing(self) -> list[Any]:
        return [self._names.new(), 0, "", "", ""]

    async def _fast(self, queue: Queue, args: Sequence[Any]) -> Sequence[Any]:
        """Try the fast path; nothing where the call isn't eligible."""
        if not queue.fast_receives.open:
            queue.fast_receives.skipped()
            return ()
        keys = queue.keys
        reply = await self._store.fast(self._store.scripts.fast_receive, keys.fast_receive, keys.settings, args)
        if not reply:
            queue.fast_receives.refused()
            return ()
        found: Sequence[Any] = reply[:4]
        foreign = reply[4]
        if foreign:
            await self._store.look_after(queue.name, queue.keys)
        return found

    async def _acknowledge(self, queue: Queue, args: Sequence[Any]) -> bytes:
        """Return a digit for each, or nothing if all were held."""
        script = self._store.scripts.receive
        try:
            if await self._fast(queue, args):
                return b""
        except Unknown:
            reply = await self._store.run(script, queue.name, queue.keys, args)
            if not _all(reply):  # They are acknowledged either way, but who can say whether by the first call?
                raise
        else:
            reply = await self._store.once(script, queue.name, queue.keys, args, _all)
        codes: bytes = reply[0]
        return codes


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
