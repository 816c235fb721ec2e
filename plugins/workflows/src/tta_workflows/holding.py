"""Workflows of which none begins until an operator says so: each is a run that is paused, which all processes see."""

from __future__ import annotations

from logging import Logger
from typing import Never

import anyio

from tta_messages import Backoff

from .definition import Retention, Step, Workflow
from .journal import Journal, JournalError, RunQuery

HELD = "tta.held"
"""The workflow of such a run; the label ``workflow`` says which one it holds back."""
DEFINITION = Workflow(
    (Step("released", signal="operator"),),
    description="holds a workflow back until it is cancelled",
    timeout=86400.0,
    retention=Retention(content=3600.0),
)
_MOST = 1000


async def held(journal: Journal) -> dict[str, str]:
    """Return the workflows that are held back, and which run does that; raise `JournalError`."""
    page = await journal.list(RunQuery(workflow=HELD, status="paused", most=_MOST))
    return {run.labels.get("workflow", ""): run.id for run in page.runs}


class Held:
    """What a process knows of workflows that are held back: as of some seconds ago."""

    def __init__(self, journal: Journal, log: Logger, every: float) -> None:
        self._journal, self._log, self._every = journal, log, every
        self.names: frozenset[str] = frozenset()

    async def refresh(self) -> None:
        """Look which they are."""
        names = frozenset(await held(self._journal))
        if names != self.names:
            self._log.info("workflows that are held back: %s", ", ".join(sorted(names)) or "none")
        self.names = names

    async def run(self) -> Never:
        """Look again and again; while the journal is away nothing begins anyway."""
        backoff = Backoff(self._log, "nobody knows which workflows are held back")
        while True:
            try:
                await self.refresh()
            except JournalError as exc:
                await backoff.wait(exc)
            else:
                backoff.over()
                await anyio.sleep(self._every)
