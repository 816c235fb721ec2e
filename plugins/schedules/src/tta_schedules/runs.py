"""What a scheduler wants of workflows: whatever they do instead of answering is logged, and tried again later."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from tta_kernel import as_failure, raised_at
from tta_workflows import Workflows
from tta_workflows.runs import Outcome, Run

from .model import Entry, Firing

UNAVAILABLE = "unavailable"
T = TypeVar("T")


class Runs:
    """Starts, asks for and cancels the runs of schedules; each call ends within ``limit`` seconds."""

    def __init__(self, workflows: Workflows, log: logging.Logger, limit: float) -> None:
        self._workflows, self._log, self._limit = workflows, log, limit

    async def start(self, entry: Entry, firing: Firing) -> str:
        """Start a run, which may have begun before; return why there is none, as a code, or nothing."""
        schedule = entry.schedule

        async def start() -> Run:
            handle = await self._workflows.start(
                schedule.workflow, schedule.input, key=firing.key, session=schedule.session, owner=schedule.owner,
                labels={**schedule.labels, "schedule": entry.name},
            )  # fmt: skip
            return await handle.query()

        run = await self._answer(entry.name, "started", start)
        if not isinstance(run, Run):
            return UNAVAILABLE
        return run.error or UNAVAILABLE if run.status == "refused" else ""

    async def going(self, entry: Entry) -> tuple[str, ...] | None:
        """Return those of a schedule's runs that aren't over; None where that can't be told now."""
        if entry.schedule.overlap == "allow":
            return ()
        going = []
        for key in entry.runs:

            async def query(run: str = key) -> bool:
                found = await self._workflows.query(run)
                return found is not None and not found.over

            goes_on = await self._answer(entry.name, "asked", query)
            if goes_on is None:
                return None
            if goes_on:
                going.append(key)
        return tuple(going)

    async def cancel(self, entry: Entry, run: str) -> None:
        """Ask for the end of a run, whether it comes to that or not."""

        async def cancel() -> Outcome:
            return await self._workflows.cancel(run, by=f"schedule:{entry.name}")

        await self._answer(entry.name, "cancelled", cancel)

    async def _answer(self, name: str, what: str, call: Callable[[], Awaitable[T]]) -> T | None:
        """Return what a call answers, or None where it doesn't."""
        with anyio.move_on_after(self._limit):
            try:
                return await call()
            except BaseException as exc:  # noqa: BLE001 - another engine may provide workflows
                failure = as_failure(exc)
                where = raised_at(failure)
                self._log.warning("a run of %s can't be %s: %s at %s", name, what, type(failure).__name__, where)
                return None
        self._log.warning("a run of %s was not %s within %g s", name, what, self._limit)
        return None
