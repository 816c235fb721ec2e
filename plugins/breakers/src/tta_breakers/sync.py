"""Keeps the breakers of a process in step with the store: tells what is new here, and hears what is new elsewhere."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from weakref import WeakValueDictionary

import anyio
from msgspec.structs import replace

from tta_messages import Backoff

from .breaker import Breaker, Process
from .machine import apply_all
from .model import BreakersError, BreakerStore, Record, Records, Swap

_MOST_AT_ONCE = 100
"""How many breakers go to the store in one call."""
_LEAST_STEP = 1e-6
"""Seconds between two writes of a breaker: by their times one sees which is the later, whatever the clocks say."""


class Sync:
    """Between the breakers of a ``process`` and a store; ``announce`` is told of what changed because of it."""

    def __init__(
        self, store: BreakerStore, process: Process, log: logging.Logger, announce: Callable[[Breaker, Record], None]
    ) -> None:  # fmt: skip
        self._store, self._process, self._log, self._announce = store, process, log, announce
        self.breakers: WeakValueDictionary[str, Breaker] = WeakValueDictionary()
        """Those that are in somebody's hands."""
        self.known: dict[str, Record] = {}
        """What the store has that isn't clean, also under names that nobody here has asked for."""
        self._changed: dict[Breaker, None] = {}
        self._wake = anyio.Event()
        self._told = anyio.Event()
        """Set when what there was to tell was told, or could not be."""
        self._unwritten = self._unread = ""
        """Why the store can't be told, or asked, if it can't."""

    @property
    def trouble(self) -> str:
        """Why the store can't be used, if it can't."""
        return self._unwritten or self._unread

    def changed(self, breaker: Breaker) -> None:
        """See that what waits in ``breaker`` is told."""
        self._changed[breaker] = None
        self._wake.set()

    async def read(self, patience: float) -> Records:
        """Look at everything that the store has; raise a `BreakersError` where it doesn't answer in time."""
        with anyio.move_on_after(patience):
            try:
                read = await self._store.read()
            except BreakersError as exc:
                self._unread = str(exc)
                raise
            self._hear_all(read)
            return read
        raise BreakersError(_late(patience))

    async def tell(self, breaker: Breaker, patience: float) -> None:
        """Wait until the store was told what is new of a breaker; raise a `BreakersError` where it can't be."""
        with anyio.move_on_after(patience):
            while not self._unwritten and (breaker.sending or breaker.waiting):
                await self._told.wait()
        if breaker.sending or breaker.waiting:
            raise BreakersError(self._unwritten or _late(patience))

    async def write_last(self) -> None:
        """Tell what is left when it stops, so that nobody waits for a probe that won't come."""
        try:
            while self._changed:
                await self._write_some()
        except BreakersError as exc:
            self._log.info("what breakers saw last is known to this process alone: %s", exc)

    async def write(self) -> None:
        """Tell the store what changes, until cancelled."""
        backoff = Backoff(self._log, "breakers decide by what this process knows, while their store can't be reached")
        while True:
            while not self._changed:
                self._wake = anyio.Event()
                await self._wake.wait()
            try:
                await self._write_some()
            except BreakersError as exc:
                self._unwritten = str(exc)
                for breaker in self._changed:
                    self._announce(breaker, breaker.record)  # This process has decided alone.
                await backoff.wait(exc)
            else:
                self._unwritten = ""
                backoff.over()

    async def follow(self, refresh: float) -> None:
        """Hear of what other processes change, until cancelled; read all at least every ``refresh`` seconds."""
        backoff = Backoff(self._log, "what other processes know of breakers is unknown")
        read_at = anyio.current_time()
        while True:
            try:
                news = await self._store.news(wait=refresh)
                if news is None or anyio.current_time() >= read_at + refresh:
                    self._hear_all(await self._store.read())
                    read_at = anyio.current_time()
                for name, record in (news or {}).items():
                    self._hear(name, record)
            except BreakersError as exc:
                self._unread = str(exc)
                await backoff.wait(exc)
            else:
                self._unread = ""
                backoff.over()

    def _hear_all(self, read: Records) -> None:
        self._process.learn_time(read.now)
        self.known = {name: record for name, record in read.records.items() if not record.clean}
        for name, breaker in list(self.breakers.items()):
            self._hear(name, read.records.get(name, Record()))
            if _is_lost(breaker):
                self.changed(breaker)

    def _hear(self, name: str, record: Record) -> None:
        """Take over what the store has under a name, unless this process has heard of a later write."""
        breaker = self.breakers.get(name)
        if breaker is None:
            self._remember(name, record)
            return
        is_ours = record.stamp != "" and record.stamp == breaker.stamp
        if is_ours:
            breaker.sending = []
            breaker.stamp = ""
        breaker.expected = record.stamp
        if record.at < breaker.base.at:
            self._remember(name, breaker.base)
            breaker.refresh()
            return
        self._remember(name, record)
        if is_ours:
            self._announce(breaker, record)
        else:
            breaker.told = record.status  # By whoever wrote it.
        breaker.take(record)

    def _remember(self, name: str, record: Record) -> None:
        if record.clean:
            self.known.pop(name, None)
        else:
            self.known[name] = record

    async def _write_some(self) -> None:
        """Tell the store once; where another process was quicker, what is new is thought over for the next time."""
        some = list(self._changed)[:_MOST_AT_ONCE]
        for breaker in some:
            del self._changed[breaker]
        try:
            swaps = [swap for breaker in some if (swap := self._swap(breaker)) is not None]
            if swaps:
                read = await self._store.swap(swaps)
                self._process.learn_time(read.now)
                for swap in swaps:
                    breaker = self.breakers[swap.name]  # `some` holds it.
                    self._hear(swap.name, read.records[swap.name])
                    if breaker.sending or breaker.waiting or _is_lost(breaker):
                        self.changed(breaker)
        except BaseException:
            for breaker in some:
                self.changed(breaker)
            raise
        finally:
            self._told.set()
            self._told = anyio.Event()

    def _swap(self, breaker: Breaker) -> Swap | None:
        """Return what the store is to have, or None where it has that."""
        base = breaker.base
        while True:
            if not breaker.sending:
                breaker.sending, breaker.waiting = breaker.waiting, []
                breaker.stamp = secrets.token_hex(8)
            wanted = apply_all(base, breaker.sending, breaker.settings, self._process.random)
            if wanted != base or _is_lost(breaker):
                break
            breaker.sending = []
            if not breaker.waiting:
                breaker.refresh()
                return None
        at = max(self._process.now(), base.at + _LEAST_STEP)
        return Swap(breaker.name, breaker.expected, replace(wanted, at=at, stamp=breaker.stamp))


def _is_lost(breaker: Breaker) -> bool:
    """Whether the store has something older than it had, as after a failover, and others may rely on what it had."""
    return breaker.base.stamp != breaker.expected and not breaker.base.clean


def _late(patience: float) -> str:
    return f"the store did not answer within {patience:g} s"
