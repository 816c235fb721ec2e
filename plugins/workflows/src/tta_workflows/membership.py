"""A process's hold on its runs: one lease, renewed, and joined anew where it was lost; and whose runs it takes over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Never

import anyio
from msgspec.structs import replace

from tta_messages import Backoff

from .engine import Engine
from .journal import JournalError, Lease, RunQuery, RunStatus

_AT_ONCE = 32
"""How many runs are taken over at a time: others may take the rest meanwhile."""
_LOOKS = 10
"""How often, while a lease is renewed once, a process looks for runs at the most."""

_UNFINISHED: tuple[RunStatus, ...] = ("running", "waiting", "undoing")


class Membership:
    """Holds a lease while it runs; ``lost`` is told of a lease that is over, ``taken`` of a run that is ours now."""

    def __init__(
        self, engine: Engine, process: str, *, lost: Callable[[Lease], None],
        taken: Callable[[Lease, str], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._engine, self._process = engine, process
        self._lost, self._taken = lost, taken
        self.lease: Lease | None = None
        self.joined = anyio.Event()
        """Set once there has been a lease."""
        self.draining = False
        self._until = 0.0
        self._unsure: set[str] = set()
        self._claim_unanswered = False

    async def run(self) -> Never:
        """Join, renew and take over, until cancelled."""
        backoff = Backoff(self._engine.log, "no runs are begun or taken over")
        pause = self._engine.settings.lease / 3
        while True:
            try:
                await self._hold()
                if not self.draining:
                    await (self._take_over() if self._engine.settings.claims else self._go_on())
            except JournalError as exc:
                self._see_if_it_is_over()
                await backoff.wait(exc)
                continue
            backoff.over()
            # Not at once, however often somebody calls: others hear it, too, and each look costs the journal something.
            await anyio.sleep(pause / _LOOKS)
            await self._wait(pause - pause / _LOOKS)

    async def _wait(self, limit: float) -> None:
        """Wait until there may be something to take, or it is time to renew the lease."""
        try:
            await self._engine.journal.vacant(limit)
        except JournalError:
            await anyio.sleep(limit)

    def look_for(self, run: str) -> None:
        """See later whether a run is there, and ours, of which that can't be told now."""
        self._unsure.add(run)

    async def leave(self) -> None:
        """Give up the lease, so that others need not wait for its end."""
        lease, self.lease = self.lease, None
        if lease is not None:
            await self._engine.journal.leave(lease)

    async def _hold(self) -> None:
        ttl = self._engine.settings.lease
        # By our own clock it ends earlier than by the journal's: the request was on its way.
        asked_at = anyio.current_time()
        if self.lease is None:
            self.lease = await self._engine.journal.join(self._process, ttl)
        elif not await self._engine.journal.renew(self.lease, ttl):
            self._lose()
            self.lease = await self._engine.journal.join(self._process, ttl)
        self._until = asked_at + ttl
        self.joined.set()

    def _see_if_it_is_over(self) -> None:
        """While the journal is away, stop as soon as others may go on with what is held here."""
        if self.lease is not None and anyio.current_time() >= self._until:
            self._lose()

    def _lose(self) -> None:
        lease, self.lease = self.lease, None
        assert lease is not None
        self._engine.log.warning("the lease on this process's runs is over: others go on with them")
        self._lost(lease)

    async def _take_over(self) -> None:
        await self._go_on()
        while (lease := self.lease) is not None:
            if self._claim_unanswered:
                await self._look_for_claimed(lease)
            self._claim_unanswered = True
            found = await self._engine.journal.claim(lease, _AT_ONCE)
            self._claim_unanswered = False
            self._unsure.update(found)
            await self._go_on()
            if len(found) < _AT_ONCE:
                return

    async def _go_on(self) -> None:
        """Take what is ours, or may be; what can't be told because the journal is away is looked at the next time."""
        unsure, self._unsure = self._unsure, set()
        while unsure and self.lease is not None:
            run = unsure.pop()
            try:
                await self._taken(self.lease, run)
            except JournalError:
                self._unsure |= {run, *unsure}
                raise
        self._unsure |= unsure

    async def _look_for_claimed(self, lease: Lease) -> None:
        """Find what a claim has given us whose answer was lost: nobody else goes on with it while our lease holds."""
        for status in _UNFINISHED:
            query = RunQuery(status=status)
            while True:
                page = await self._engine.journal.list(query)
                for run in page.runs:
                    if await self._engine.journal.take(lease, run.id):
                        self._unsure.add(run.id)
                if not page.cursor:
                    break
                query = replace(query, cursor=page.cursor)
        await self._go_on()
