"""All breakers of a process: what they decide is told to the store, and what others decide comes from there."""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from weakref import WeakValueDictionary

import anyio
from msgspec.structs import replace

from tta_kernel import Event, Service, as_failure
from tta_messages import Backoff

from .breaker import Breaker, Permit, Process
from .config import Config
from .machine import Change, Reset, Tripped, apply_all
from .model import (
    LONGEST_NAME,
    BreakerChanged,
    BreakerInfo,
    BreakerOpen,
    BreakersError,
    BreakerStore,
    Record,
    Records,
    Refused,
    Swap,
)
from .stores import guard_store

_MOST_AT_ONCE = 100
"""How many breakers go to the store in one call."""
_LEAST_STEP = 1e-6
"""Seconds between two writes of a breaker: by their times one sees which is the later, whatever the clocks say."""


class Breakers(Process):
    """Gives a breaker for each name, while `running`; ``publish`` and ``log`` are told of their changes."""

    def __init__(
        self, store: BreakerStore, config: Config, log: logging.Logger, publish: Callable[[Event], None] | None = None
    ) -> None:  # fmt: skip
        self._store, self._config, self._log, self._publish = guard_store(store), config, log, publish
        self._begin = time.time() - self.clock()
        self._ahead = 0.0
        """By how much the store's clock is ahead of this one."""
        self._kept: OrderedDict[str, Breaker] = OrderedDict()
        self._all: WeakValueDictionary[str, Breaker] = WeakValueDictionary()
        """Those in somebody's hands, too, beyond the ones that are kept."""
        self._known: dict[str, Record] = {}
        """What the store has under names that nobody here has asked for; nothing of what is clean."""
        self._changed: dict[Breaker, None] = {}
        self._wake = anyio.Event()
        self._told = anyio.Event()
        """Set when what there was to tell was told, or could not be."""
        self._unwritten = self._unread = ""
        """Why the store can't be told, or asked, if it can't."""

    @property
    def trouble(self) -> str:
        """Why the store can't be used, if it can't; then each process decides alone."""
        return self._unwritten or self._unread

    # For who makes calls.

    def breaker(self, name: str) -> Breaker:
        """Return the breaker of a name, such as ``agent:world-builder``; a ValueError for what is none."""
        found = self._kept.get(name)
        if found is None:
            found = self._make(name)
        return found

    def guard(self, name: str, *, harmless: tuple[type[Exception], ...] = ()) -> AbstractAsyncContextManager[Permit]:
        """Make the call in an ``async with``, or raise `BreakerOpen`; an Exception not ``harmless`` is a failure.

        The harmless ones say nothing of whom was called: a policy refused the call, or its arguments were wrong.
        """
        return _Guarded(self.breaker(name), harmless)

    # For operators, and for whoever knows better.

    async def list(self) -> Sequence[BreakerInfo]:
        """Return all breakers that were used lately, of all processes; raise `BreakersError` if nobody can know."""
        read = await self._store.read()
        self._adopt_all(read)
        found = dict(read.records)
        found |= {name: breaker.record for name, breaker in self._all.items()}
        return [_info(name, found[name]) for name in sorted(found)]

    async def reset(self, name: str, *, by: str = "") -> bool:
        """Close a breaker, in all processes; say whether it was open, or counted failures.

        Raises `BreakersError` where others can't be told yet; here it is closed all the same.
        """
        before = await self._by_hand(name, Reset(self.now(), by))
        return not before.clean

    async def trip(self, name: str, reason: str, *, by: str = "") -> bool:
        """Open a breaker, in all processes, as if calls had failed; say whether it was closed or half open.

        ``reason`` is kept and shown, so it holds no person's text. Raises `BreakersError` as `reset` does.
        """
        before = await self._by_hand(name, Tripped(self.now(), reason, by=by))
        return before.status != "open"

    async def _by_hand(self, name: str, change: Change) -> Record:
        """Make a change, and return what was before; raise where other processes can't be told."""
        breaker = self.breaker(name)
        unknown: BreakersError | None = None
        try:
            await self._fresh()
        except BreakersError as exc:
            unknown = exc
        before = breaker.record
        breaker.add(change)
        if unknown is not None:
            raise unknown
        await self._stored(breaker)
        return before

    def local(self) -> Mapping[str, Breaker]:
        """Return the breakers of this process by name."""
        return dict(self._all)

    # For breakers.

    def now(self) -> float:
        return self._begin + self.clock() + self._ahead

    def random(self) -> float:
        return random.random()  # noqa: S311 - nobody must not guess it

    def changed(self, breaker: Breaker) -> None:
        self._changed[breaker] = None
        self._wake.set()

    async def claim(self, breaker: Breaker) -> str:
        token = secrets.token_hex(8)
        breaker.claim(token)
        if not breaker.claimed(token):
            return ""
        try:
            with anyio.move_on_after(self._config.patience):
                await self._tell(breaker)
        except BaseException:
            breaker.settle(token, "returned")
            raise
        # Where the store is away, or late, what this process knows decides.
        return token if breaker.claimed(token) else ""

    # While it runs.

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Breakers]:
        """Keep the breakers in step with the store for as long as the block; begin with what that knows, if it does."""
        with anyio.move_on_after(self._config.patience):
            try:
                self._adopt_all(await self._store.read())
            except BreakersError as exc:
                self._unread = str(exc)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.write)
                tasks.start_soon(self.follow)
                try:
                    yield self
                finally:
                    tasks.cancel_scope.cancel()
        finally:
            # Only now is it known what the task was in the middle of.
            with anyio.move_on_after(self._config.patience, shield=True):
                await self._write_last()

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

    async def follow(self) -> None:
        """Hear of what other processes change, until cancelled."""
        backoff = Backoff(self._log, "what other processes know of breakers is unknown")
        read_at = anyio.current_time()
        while True:
            try:
                changed = await self._store.news(wait=self._config.refresh)
                if changed is None or anyio.current_time() >= read_at + self._config.refresh:
                    self._adopt_all(await self._store.read())
                    read_at = anyio.current_time()
                for name, record in (changed or {}).items():
                    self._adopt(name, record)
            except BreakersError as exc:
                self._unread = str(exc)
                await backoff.wait(exc)
            else:
                self._unread = ""
                backoff.over()

    def _make(self, name: str) -> Breaker:
        found = self._all.get(name)
        if found is None:
            if not name or len(name) > LONGEST_NAME or not name.isprintable():
                raise ValueError(f"a breaker's name is printable, and has 1 to {LONGEST_NAME} characters")
            found = Breaker(self, name, self._config.settings_of(name), self._known.pop(name, Record()))
            self._all[name] = found
        self._kept[name] = found
        while len(self._kept) > self._config.kept:
            _, gone = self._kept.popitem(last=False)
            self._remember(gone.name, gone.base)
        return found

    # What the store says.

    def _adopt_all(self, read: Records) -> None:
        self._ahead = read.now - self._begin - self.clock()
        self._known = {name: record for name, record in read.records.items() if not record.clean}
        for name, breaker in list(self._all.items()):
            self._known.pop(name, None)
            self._hear(breaker, read.records.get(name, Record()))
            if _is_lost(breaker):
                self.changed(breaker)

    def _adopt(self, name: str, record: Record) -> None:
        if (breaker := self._all.get(name)) is not None:
            self._hear(breaker, record)
        else:
            self._remember(name, record)

    def _hear(self, breaker: Breaker, record: Record) -> None:
        """Take over what the store has of a breaker, unless this process has heard of a later write."""
        is_ours = record.stamp != "" and record.stamp == breaker.stamp
        if is_ours:
            breaker.sending = []
            breaker.stamp = ""
        breaker.expected = record.stamp
        if record.at < breaker.base.at:
            breaker.refresh()
            return
        if is_ours:
            self._announce(breaker, record)
        else:
            breaker.told = record.status  # By whoever wrote it.
        breaker.take(record)
        if breaker.name not in self._kept:
            self._remember(breaker.name, record)

    def _remember(self, name: str, record: Record) -> None:
        if record.clean:
            self._known.pop(name, None)
        else:
            self._known[name] = record

    # What the store is told.

    async def _write_some(self) -> None:
        """Tell the store once; where another process was quicker, what is new is thought over for the next time."""
        some = list(self._changed)[:_MOST_AT_ONCE]
        for breaker in some:
            del self._changed[breaker]
        try:
            swaps = [swap for breaker in some if (swap := self._swap(breaker)) is not None]
            if swaps:
                read = await self._store.swap(swaps)
                self._ahead = read.now - self._begin - self.clock()
                for swap in swaps:
                    breaker = self._all[swap.name]  # `some` holds it.
                    self._hear(breaker, read.records.get(swap.name, Record()))
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
        if not breaker.sending:
            breaker.sending, breaker.waiting = breaker.waiting, []
            breaker.stamp = secrets.token_hex(8)
        base = breaker.base
        wanted = apply_all(base, breaker.sending, breaker.settings, self.random)
        if wanted == base and not _is_lost(breaker):
            breaker.sending = []
            breaker.refresh()
            return None
        at = max(self.now(), base.at + _LEAST_STEP)
        return Swap(breaker.name, breaker.expected, replace(wanted, at=at, stamp=breaker.stamp))

    async def _write_last(self) -> None:
        """Tell what is left when it stops, so that nobody waits for a probe that won't come."""
        try:
            while self._changed:
                await self._write_some()
        except BreakersError as exc:
            self._log.info("what breakers saw last is known to this process alone: %s", exc)

    async def _fresh(self) -> None:
        """Look at what other processes have done."""
        with anyio.move_on_after(self._config.patience):
            self._adopt_all(await self._store.read())
            return
        raise BreakersError(f"the store did not answer within {self._config.patience:g} s")

    async def _tell(self, breaker: Breaker) -> None:
        """Wait until the store was told what is new of a breaker, or can't be."""
        while not self._unwritten and (breaker.sending or breaker.waiting):
            await self._told.wait()

    async def _stored(self, breaker: Breaker) -> None:
        with anyio.move_on_after(self._config.patience):
            await self._tell(breaker)
        if breaker.sending or breaker.waiting:
            raise BreakersError(self._unwritten or f"the store did not answer within {self._config.patience:g} s")

    # What others are told.

    def _announce(self, breaker: Breaker, record: Record) -> None:
        before, breaker.told = breaker.told, record.status
        if before == record.status:
            return
        if record.status == "open":
            seconds = max(0.0, record.until - self.now())
            self._log.warning("breaker %s opens for %.0f s: %s", breaker.name, seconds, record.reason)
        elif record.status == "closed":
            self._log.info("breaker %s closes: %s", breaker.name, record.reason)
        if self._publish is None:
            return
        changed = BreakerChanged(
            name=breaker.name, before=before, after=record.status, reason=record.reason, by=record.by
        )  # fmt: skip
        try:
            self._publish(changed)
        except BaseException as exc:  # noqa: BLE001 - a stranger's
            failure = as_failure(exc)
            self._log.error("that breaker %s changed can't be told", breaker.name, exc_info=failure)


class _Guarded:
    """A block that is one call; no generator, which would cost more than all else of it."""

    __slots__ = ("_breaker", "_harmless", "_permit")

    def __init__(self, breaker: Breaker, harmless: tuple[type[Exception], ...]) -> None:
        self._breaker, self._harmless = breaker, harmless
        self._permit = Permit()

    async def __aenter__(self) -> Permit:
        answer = await self._breaker.admit()
        if isinstance(answer, Refused):
            raise BreakerOpen(answer)
        self._permit = answer
        return answer

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is None:
            self._permit.succeeded()
        elif isinstance(exc, Exception) and not isinstance(exc, self._harmless):
            self._permit.failed()
        else:
            self._permit.returned()


def _is_lost(breaker: Breaker) -> bool:
    """Whether the store has something older than it had, as after a failover, and others may rely on what it had."""
    return breaker.base.stamp != breaker.expected and not breaker.base.clean


def _info(name: str, record: Record) -> BreakerInfo:
    return BreakerInfo(
        name, record.status, failures=record.failures, opens=record.opens, since=record.since, until=record.until,
        reason=record.reason, by=record.by,
    )  # fmt: skip


BREAKERS = Service[Breakers]("breakers")
