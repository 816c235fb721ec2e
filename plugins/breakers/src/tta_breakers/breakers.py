"""All breakers of a process: what they decide is told to the store, and what others decide comes from there."""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from types import TracebackType

import anyio

from tta_kernel import Event, Service, as_failure

from .breaker import Breaker, Permit, Process
from .config import Config
from .machine import Change, Reset, Tripped
from .model import (
    LONGEST_NAME,
    BreakerChanged,
    BreakerInfo,
    BreakerOpen,
    BreakersError,
    BreakerStore,
    Record,
    Refused,
)
from .stores import guard_store
from .sync import Sync


class Breakers(Process):
    """Gives a breaker for each name, while `running`; ``publish`` and ``log`` are told of their changes."""

    def __init__(
        self, store: BreakerStore, config: Config, log: logging.Logger, publish: Callable[[Event], None] | None = None
    ) -> None:  # fmt: skip
        self._config, self._log, self._publish = config, log, publish
        self._sync = Sync(guard_store(store), self, log, self._announce)
        self._begin = time.time() - self.clock()
        self._ahead = 0.0
        """By how much the store's clock is ahead of this one."""
        self._kept: dict[str, Breaker] = {}

    @property
    def trouble(self) -> str:
        """Why the store can't be used, if it can't; then each process decides alone."""
        return self._sync.trouble

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
        read = await self._sync.read(self._config.patience)
        found = {**read.records, **{name: breaker.record for name, breaker in self.local().items()}}
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
        try:
            await self._sync.read(self._config.patience)  # Others may have changed it just now.
        finally:
            before = breaker.record
            breaker.add(change)
        await self._sync.tell(breaker, self._config.patience)
        return before

    def local(self) -> Mapping[str, Breaker]:
        """Return the breakers of this process by name."""
        return dict(self._sync.breakers)

    # For breakers.

    def now(self) -> float:
        return self._begin + self.clock() + self._ahead

    def random(self) -> float:
        return random.random()  # noqa: S311 - nobody must not guess it

    def learn_time(self, now: float) -> None:
        self._ahead = now - self._begin - self.clock()

    def changed(self, breaker: Breaker) -> None:
        self._sync.changed(breaker)

    async def claim(self, breaker: Breaker) -> str:
        token = secrets.token_hex(8)
        breaker.claim(token)
        if not breaker.claimed(token):
            return ""
        try:
            await self._sync.tell(breaker, self._config.patience)
        except BreakersError:
            pass  # What this process knows decides.
        except BaseException:
            breaker.settle(token, "returned")
            raise
        return token if breaker.claimed(token) else ""

    # While it runs.

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Breakers]:
        """Keep the breakers in step with the store for as long as the block; begin with what that knows, if it does."""
        with suppress(BreakersError):
            await self._sync.read(self._config.patience)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._sync.write)
                tasks.start_soon(self._sync.follow, self._config.refresh)
                try:
                    yield self
                finally:
                    tasks.cancel_scope.cancel()
        finally:
            # Only now is it known what the task was in the middle of.
            with anyio.move_on_after(self._config.patience, shield=True):
                await self._sync.write_last()

    def _make(self, name: str) -> Breaker:
        found = self._sync.breakers.get(name)
        if found is None:
            if not name or len(name) > LONGEST_NAME or not name.isprintable():
                raise ValueError(f"a breaker's name is printable, and has 1 to {LONGEST_NAME} characters")
            found = Breaker(self, name, self._config.settings_of(name), self._sync.known.get(name, Record()))
            self._sync.breakers[name] = found
        self._kept[name] = found
        if len(self._kept) > self._config.kept:
            del self._kept[next(iter(self._kept))]  # Whoever holds it still hears of its changes.
        return found

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
        elif isinstance(exc, Exception) and not self._is_harmless(exc):
            self._permit.failed()
        else:
            self._permit.returned()

    def _is_harmless(self, exc: Exception) -> bool:
        if isinstance(exc, ExceptionGroup):
            # A task group wraps what its tasks raise: it is harmless where all of that is.
            return exc.split(self._harmless)[1] is None
        return isinstance(exc, self._harmless)


def _info(name: str, record: Record) -> BreakerInfo:
    return BreakerInfo(
        name, record.status, failures=record.failures, opens=record.opens, since=record.since, until=record.until,
        reason=record.reason, by=record.by,
    )  # fmt: skip


BREAKERS = Service[Breakers]("breakers")
