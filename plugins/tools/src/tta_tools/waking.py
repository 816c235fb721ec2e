"""What a human decides about a call goes to the workflow that waits for it."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Literal

import anyio

from tta_kernel import as_failure
from tta_workflows import Workflows

from .model import Approval
from .store import ToolStore, ToolStoreError

log = logging.getLogger("tta.tools")
SUFFIX = "_approval"
"""Of the step that waits: it is called like the one whose call was asked about, with this."""
_MOST = 10_000
_TRIES = 30
_LIMIT = 5.0
"""Seconds that an engine has to take a signal."""


class Waking:
    """Signals runs in which a call was asked about, also where the human decided in another process.

    An agent that calls a tool with its step's key has the approval find its run: the key begins with run and step.
    """

    def __init__(self, store: ToolStore, workflows: Workflows, every: float) -> None:
        self._store, self._workflows, self._every = store, workflows, every
        self._tries: OrderedDict[str, int] = OrderedDict()
        """How often runs were signalled of what was decided, by approval."""

    async def run(self) -> None:
        """Look what was decided, as long as this runs."""
        while True:
            try:
                await self.look()
            except ToolStoreError as exc:
                log.debug("what was approved can't be looked up: %s", exc)
            await anyio.sleep(self._every)

    async def look(self) -> None:
        """Signal the runs of what was decided since the last look."""
        decided: tuple[Literal["approved", "refused"], ...] = ("approved", "refused")
        for status in decided:
            cursor = ""
            while True:
                page = await self._store.approvals(status, cursor, 500)
                for approval in page.approvals:
                    await self._signal(approval)
                if not page.cursor or page.cursor == cursor:
                    break
                cursor = page.cursor

    async def _signal(self, approval: Approval) -> None:
        run, step = step_of(approval.key)
        tries = self._tries.get(approval.id, 0)
        if not run or tries >= _TRIES:
            return
        data = {"approval": approval.id, "approved": approval.status == "approved"}
        done = False
        with anyio.move_on_after(_LIMIT):
            try:
                outcome = await self._workflows.signal(run, step + SUFFIX, data, id=approval.id, by=approval.by)
                # A journal that is away is a refusal, too: that is tried again.
                done = outcome.status != "refused"
            except BaseException as exc:  # noqa: BLE001 - another plugin may provide them
                log.warning("run %s can't be told of an approval: %s", run, type(as_failure(exc)).__name__)
        self._tries[approval.id] = _TRIES if done else tries + 1
        while len(self._tries) > _MOST:
            self._tries.popitem(last=False)


def step_of(key: str) -> tuple[str, str]:
    """Return the run and the step that a call's key names, as workflows make them: ``run:step:attempt``."""
    # From the right: a run's name may have a colon itself, a step's path and an attempt have none.
    run, *rest = key.rsplit(":", 2)
    return (run, rest[0]) if len(rest) == 2 and rest[1].isdecimal() else ("", "")
