"""One thing asked of many runs: a run of its own, page by page, which any process finishes when its operator dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import anyio
import msgspec

from tta_agents import AgentError, AgentId, Reply

from .clock import Clock
from .definition import Repeat, Retry, Step, Workflow
from .holding import HELD
from .journal import Journal, JournalError, JournalFull, RunQuery, RunStatus, RunSummary
from .operations import TAKES, Action, ask

BULK = "tta.bulk"
"""The workflow of such a run, which no deployment defines."""
PAGE = 200
"""How many runs are asked in one round: so many at most are asked twice after a crash, which does no harm."""
_MOST_PAGES = 1000
_AT_ONCE = 16
_FIELDS = ("action", "by", "savepoint", "before", "workflow", "status", "session", "owner", "labels")
_TOTALS = ("asked", "passed", "refused")

DEFINITION = Workflow(
    (
        Step(
            "page", agent=BULK, timeout=600.0, retry=Retry(attempts=100, on=("unavailable", "timeout")),
            input={
                **{name: f"input.{name}" for name in _FIELDS},
                **{name: f"steps.page.{name}" for name in ("cursor", *_TOTALS)},
            },
            repeat=Repeat("output.cursor == ''", _MOST_PAGES),
        ),
    ),
    description="asks one thing of many runs",
    output={name: f"steps.page.{name}" for name in _TOTALS},
    timeout=86400.0,
    on_failure="keep",
)  # fmt: skip


class Bulk(msgspec.Struct, frozen=True):
    """What is asked of which runs: those of before ``before`` (seconds since the epoch) that the rest fits.

    Of them only those are asked that stand so that the action makes sense, and only those of ``status``, if there is
    one.
    """

    action: Action
    before: float
    by: str = ""
    savepoint: str = ""
    workflow: str = ""
    status: RunStatus | None = None
    session: str = ""
    owner: str = ""
    labels: Mapping[str, str] = {}

    def query(self, cursor: str = "") -> RunQuery:
        """Return what lists these runs, and others."""
        return RunQuery(
            workflow=self.workflow, status=self.status, session=self.session, owner=self.owner, labels=self.labels,
            most=PAGE, cursor=cursor,
        )  # fmt: skip

    def fits(self, run: RunSummary) -> bool:
        """Whether a run that was listed is to be asked."""
        return run.workflow not in (BULK, HELD) and run.created_at <= self.before and run.status in TAKES[self.action]


class Page(msgspec.Struct, frozen=True):
    """Where a bulk action is: ``asked`` of so many runs, ``passed`` by others, ``refused`` by some."""

    cursor: str = ""
    asked: int = 0
    passed: int = 0
    refused: int = 0


class BulkAgents:
    """What does a page; in place of a deployment's agents, for runs of `BULK` alone."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal, self._clock = journal, clock

    async def call(self, agent: AgentId, request: Mapping[str, Any], *, key: str, **how: Any) -> Reply:
        """Ask of the next page of runs what is to be asked; the same again is the same."""
        bulk, page = msgspec.convert(request, Bulk), msgspec.convert(request, Page)
        run, _, _ = key.partition(":")
        try:
            listed = await self._journal.list(bulk.query(page.cursor))
            outcomes = await self._ask_all(run, bulk, [each.id for each in listed.runs if bulk.fits(each)])
        except* JournalError as exc:
            error = AgentError("unavailable", str(exc.exceptions[0]), retryable=True)
        else:
            # An unknown one has ended meanwhile, and one that was asked before is counted like the others.
            asked = outcomes["accepted"] + outcomes["twice"]
            refused = outcomes["refused"]
            return Reply(
                agent,
                msgspec.to_builtins(
                    Page(
                        listed.cursor, page.asked + asked, page.passed + len(listed.runs) - asked - refused,
                        page.refused + refused,
                    )
                ),
                0.0,
            )  # fmt: skip
        raise error

    async def _ask_all(self, id: str, bulk: Bulk, runs: Sequence[str]) -> Counter[str]:
        outcomes = Counter[str]()
        limit = anyio.CapacityLimiter(_AT_ONCE)

        async def one(run: str) -> None:
            async with limit:
                try:
                    outcome = await ask(
                        self._journal, run, bulk.action, at=self._clock.time(), id=id, by=bulk.by,
                        savepoint=bulk.savepoint,
                    )  # fmt: skip
                except JournalFull:
                    outcomes["refused"] += 1
                else:
                    outcomes[outcome.status] += 1

        async with anyio.create_task_group() as tasks:
            for run in runs:
                tasks.start_soon(one, run)
        return outcomes


async def chosen(journal: Journal, bulk: Bulk) -> AsyncIterator[RunSummary]:
    """Yield the runs that a bulk action would ask, and ask none."""
    cursor, more = "", True
    while more:
        page = await journal.list(bulk.query(cursor))
        for run in page.runs:
            if bulk.fits(run):
                yield run
        cursor, more = page.cursor, bool(page.cursor)
