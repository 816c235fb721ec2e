"""The ring: the last events of a process, of which each has a number."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Collection
from typing import Any

import anyio
import anyio.lowlevel
import msgspec

from tta_kernel import Subscription, check_count, check_duration
from tta_program.logs import Redactor

from .model import DROPPED, LONGEST_WAIT, Entry, Events, Page, Where
from .shown import Layout, layout_of

_AT_ONCE = 200
"""Events that are taken in, or looked at, before the event loop gets its turn: a millisecond at most."""
PAUSE = 0.02
"""Seconds for which events gather before they are taken in: one wake-up for all of them."""


class _Kept:
    """One event, as little of it as can be told later."""

    __slots__ = ("layout", "seq", "values")

    def __init__(self, seq: int, layout: Layout, values: tuple[Any, ...]) -> None:
        self.seq = seq
        self.layout = layout
        self.values = values

    def entry(self) -> Entry:
        return self.layout.entry(self.seq, self.values)


class _Gap(_Kept):
    """Where events were dropped, because they came too fast."""

    __slots__ = ()

    def __init__(self, seq: int, count: int) -> None:
        self.seq = seq
        self.values = (count,)

    def entry(self) -> Entry:
        return Entry(self.seq, DROPPED, fields={"count": self.values[0]})


class Ring(Events):
    """Keeps the last ``size`` events that came through a subscription; what it tells shows none of ``secrets``."""

    def __init__(self, subscription: Subscription[Any], size: int, secrets: Collection[str] = ()) -> None:
        check_count("size", size, most=1_000_000)
        self._subscription = subscription
        self._size = size
        self._redact = Redactor(secrets)
        self._slots: list[_Kept | None] = [None] * size
        """By number, modulo the size; None where a person was forgotten."""
        self._epoch = randomness.token_hex(4)
        self._newest = 0
        self._dropped = 0
        self._more = anyio.Event()

    async def run(self) -> None:
        """Take in what is published, until the subscription ends."""
        while await self._subscription.filled():
            await self._take_in()
            await anyio.sleep(PAUSE)

    async def read(
        self,
        after: int | None = None,
        *,
        epoch: str = "",
        where: Where = Where(),  # noqa: B008 - it can't be changed
        limit: int = 100,
        wait: float = 0.0,
    ) -> Page:
        check_count("limit", limit, most=1000)
        check_duration("wait", wait)
        await self._take_in()
        if after is None:
            after = await self._before_newest(where, limit)
        else:
            check_count("after", after, least=0)
            after = min(after, self._newest) if epoch in ("", self._epoch) else 0
        page = await self._page(after, where, limit)
        with anyio.move_on_after(min(wait, LONGEST_WAIT)):
            while not page.entries:
                await self._more.wait()
                page = await self._page(page.next, where, limit, page.missed)
        return page

    async def forget(self, owner: str) -> int:
        """Take out what concerns a person, and return how many events that were; nobody is ""."""
        await self._take_in()
        found = 0
        for index, kept in enumerate(self._slots):
            if owner and kept is not None and kept.entry().owner == owner:
                self._slots[index] = None
                found += 1
            if not index % _AT_ONCE:
                await anyio.lowlevel.checkpoint()
        return found

    @property
    def _oldest(self) -> int:
        return max(1, self._newest - self._size + 1) if self._newest else 0

    async def _take_in(self) -> None:
        """Give what has gathered its numbers."""
        buffer = self._subscription.buffer
        while buffer:
            if lost := self._subscription.dropped - self._dropped:
                self._dropped += lost
                self._add(_Gap(self._newest + 1, lost))
            for _ in range(min(_AT_ONCE, len(buffer))):
                event = buffer.popleft()
                layout = layout_of(event.__class__)
                self._add(_Kept(self._newest + 1, layout, layout.take(event)))
            self._more.set()
            self._more = anyio.Event()
            await anyio.lowlevel.checkpoint()

    def _add(self, kept: _Kept) -> None:
        self._newest = kept.seq
        self._slots[kept.seq % self._size] = kept

    async def _before_newest(self, where: Where, limit: int) -> int:
        """Return the number after which the newest ``limit`` events come."""
        found = 0
        for seq in range(self._newest, self._oldest - 1, -1):
            entry = self._at(seq)
            found += entry is not None and where.matches(entry)
            if found == limit:
                return seq - 1
            if not seq % _AT_ONCE:
                await anyio.lowlevel.checkpoint()
        return max(0, self._oldest - 1)

    async def _page(self, after: int, where: Where, limit: int, missed: int = 0) -> Page:
        entries: list[Entry] = []
        seq = after
        while seq < self._newest and len(entries) < limit:
            # Not once before the loop: others come while the event loop has its turn.
            missed += max(0, self._oldest - 1 - seq)
            seq = max(seq + 1, self._oldest)
            entry = self._at(seq)
            if entry is not None and where.matches(entry):
                entries.append(self._without_secrets(entry))
            if not seq % _AT_ONCE:
                await anyio.lowlevel.checkpoint()
        return Page(self._epoch, entries, seq, self._oldest, self._newest, missed)

    def _at(self, seq: int) -> Entry | None:
        kept = self._slots[seq % self._size]
        return kept.entry() if kept is not None else None

    def _without_secrets(self, entry: Entry) -> Entry:
        text = msgspec.json.encode(entry).decode()
        hidden = self._redact(text)
        return entry if hidden == text else msgspec.json.decode(hidden, type=Entry)
