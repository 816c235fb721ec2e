"""What an operator asks of one run, wherever it is: its end, a pause, to go on, another try, or to be taken back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import anyio

from .journal import Journal, Reopened, RunStatus
from .records import Asked
from .runs import Outcome, OutcomeStatus

Action = Literal["cancel", "pause", "resume", "retry", "rollback"]

TAKES: Mapping[Action, frozenset[RunStatus]] = {
    "cancel": frozenset({"running", "waiting", "paused", "set-aside"}),
    "pause": frozenset({"running", "waiting"}),
    "resume": frozenset({"paused", "set-aside"}),
    "retry": frozenset({"failed", "cancelled"}),
    "rollback": frozenset({"running", "waiting", "paused", "set-aside", "done", "failed", "cancelled", "stuck"}),
}
"""Of runs that stand how what may be asked."""
_ALREADY: Mapping[Action, frozenset[RunStatus]] = {
    "cancel": frozenset({"undoing"}),
    "pause": frozenset({"paused"}),
    "resume": frozenset({"running", "waiting"}),
    "retry": frozenset({"running", "waiting"}),
    "rollback": frozenset({"undoing"}),
}
"""Where there is nothing to be done: it is so, or is about to be."""
_OUTCOMES: Mapping[Reopened, OutcomeStatus] = {"added": "accepted", "twice": "twice", "unknown": "unknown"}
_TRIES = 40


async def ask(
    journal: Journal, run: str, action: Action, *, at: float, id: str, by: str = "", savepoint: str = ""
) -> Outcome:  # fmt: skip
    """Ask something of a run; whoever has it, or claims it then, sees to it. The same ``id`` again is the same thing.

    Raises `JournalError` and `JournalFull`.
    """
    asked = Asked(at=at, what=action, savepoint=savepoint, id=id, by=by)
    for _ in range(_TRIES):
        summary = await journal.summary(run)
        if summary is None:
            return Outcome("unknown", f"there is no run {run!r}")
        if summary.status not in TAKES[action]:
            if summary.status in _ALREADY[action]:
                return Outcome("twice", f"it is {summary.status}")
            return Outcome("ended", f"it is {summary.status}")
        said = await journal.reopen(run, asked, id=id)
        if said == "unknown":
            return Outcome("unknown", f"of run {run!r} no more than its summary is kept")
        if said != "held":
            return Outcome(_OUTCOMES[said])
        await anyio.sleep(0.05)  # It ended just now, and whoever holds it is about to let go of it.
    return Outcome("refused", "another process holds it; ask again")
