"""What a run waits for before its first step: that no newer one takes its place, and that it may be under way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import anyio

from .definition import Concurrency, Debounce
from .journal import JournalError, RunHead, RunSummary
from .keys import slot
from .pools import Pool
from .records import Asked
from .state import OVER

if TYPE_CHECKING:
    from .engine import Engine
    from .execution import Execution
    from .plan import Plan

T = TypeVar("T")
_LOOK, _LOOK_AGAIN = 0.05, 1.0
"""Seconds between looks at a slot that another process's run holds: at first, and at the most."""


class Entrance:
    """Lets runs in by what their definitions' ``execution`` says, across all processes that share the journal.

    A slot is held by a run, not by a process: whoever takes the run over has it, and whoever wants it finds out whether
    its holder is over. So nothing must be given back for others to go on.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine, self._journal = engine, engine.journal
        self._pools: dict[str, Pool] = {}
        """By slot, the runs of this process that hold or want it: only those at the front ask the journal."""
        self._inside: dict[str, str] = {}
        """By the run's name, which of these it has."""

    async def single(self, plan: Plan, head: RunHead) -> str:
        """Return the name of the run that is under way in place of that one; or its own, if it may begin.

        Somebody may have that name, and not have begun it yet, or never: it is for whoever comes first to begin.
        """
        singleton = plan.workflow.execution.singleton
        assert singleton is not None
        name = slot("singleton", head, singleton.key)
        while True:
            [holder] = await self._journal.enter(name, head.id, 1)
            if holder == head.id:
                return holder
            summary = await self._journal.summary(holder)
            if summary is None or summary.status not in OVER:
                return holder
            await self._journal.exit(name, holder)

    async def enter(self, run: Execution) -> None:
        """Return when a run may begin, or is to end since a newer one takes its place."""
        execution = run.plan.workflow.execution
        has_begun = any(step.status != "pending" for step in run.state.steps.values())
        if execution.debounce is not None and not has_begun and not await self._is_last(run, execution.debounce):
            run.hand_in(Asked(at=self._engine.clock.time(), what="cancel", by="debounce"))
        elif execution.concurrency is not None:
            await self._hold(run, execution.concurrency)

    async def leave(self, run: Execution) -> None:
        """Let others in, now that a run is over, or somebody else's."""
        head, execution = run.head, run.plan.workflow.execution
        name = self._inside.pop(head.id, "")
        try:
            if run.state.over or run.left == "aside":
                with anyio.move_on_after(self._engine.settings.grace, shield=True):
                    for kind in ("concurrency", "singleton", "debounce"):
                        if (each := getattr(execution, kind)) is not None:
                            await self._journal.exit(slot(kind, head, each.key), head.id)
        except JournalError:
            return  # Whoever wants it sees that its holder is over.
        finally:
            if name:
                self._give_back(name)

    async def _is_last(self, run: Execution, debounce: Debounce) -> bool:
        """Wait whether a newer run of the same key comes."""
        name = slot("debounce", run.head, debounce.key)
        if not await self._is_newest(run.head, name):
            return False
        await self._engine.clock.sleep_until(run.head.created_at + debounce.wait)
        # It stays there until it is over: one that was started before may look only now.
        return await self._is_newest(run.head, name)

    async def _is_newest(self, head: RunHead, name: str) -> bool:
        while True:
            [holder] = await self._patiently(lambda: self._journal.enter(name, head.id, 1))
            if holder == head.id:
                return True
            if _is_newer(await self._summary(holder), head):
                return False
            await self._exit(name, holder)

    async def _hold(self, run: Execution, concurrency: Concurrency) -> None:
        head = run.head
        name = slot("concurrency", head, concurrency.key)
        # Before anybody else: whoever is at the front here may wait for just that run to end.
        if run.is_taken_over and head.id in await self._enter(name, head.id, concurrency.limit):
            return
        pool = self._pools.get(name)
        if pool is None:
            pool = self._pools[name] = self._engine.pools.make(head.workflow, concurrency.limit)
        if not pool.take():
            await pool.wait(
                self._engine.pools.waiting(pool, run.plan, head, self._engine.clock.time()), self._engine.clock.time,
                key=head.fairness or head.owner, strategy=run.plan.workflow.execution.strategy, gives_up=False,
            )  # fmt: skip
        self._inside[head.id] = name
        pause = _LOOK
        while head.id not in (holders := await self._enter(name, head.id, concurrency.limit)):
            if not await self._drop_one_that_is_over(name, holders):
                await anyio.sleep(pause)
                pause = min(pause * 2, _LOOK_AGAIN)

    async def _drop_one_that_is_over(self, name: str, holders: Sequence[str]) -> bool:
        for holder in holders:
            summary = await self._summary(holder)
            if summary is None or summary.status in OVER:
                await self._exit(name, holder)
                return True
        return False

    def _give_back(self, name: str) -> None:
        pool = self._pools[name]
        pool.give_back(self._engine.clock.time())
        if not pool.taken:
            del self._pools[name]

    # The journal, as soon as it is there.

    async def _enter(self, name: str, run: str, most: int) -> Sequence[str]:
        return await self._patiently(lambda: self._journal.enter(name, run, most))

    async def _exit(self, name: str, run: str) -> None:
        await self._patiently(lambda: self._journal.exit(name, run))

    async def _summary(self, run: str) -> RunSummary | None:
        return await self._patiently(lambda: self._journal.summary(run))

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        backoff = self._engine.backoff()
        while True:
            try:
                return await ask()
            except JournalError as exc:
                await backoff.wait(exc)


def _is_newer(other: RunSummary | None, head: RunHead) -> bool:
    return other is not None and (other.created_at, other.id) > (head.created_at, head.id)
