"""Runs of turns whose session knows nothing of them any more: nobody will read what they tell."""

from __future__ import annotations

from collections.abc import Sequence

from tta_sessions import Sessions
from tta_workflows import Finding, RunSummary

YOUNG = 60.0
"""Seconds within which a turn's run and its place in the queue may be seen one without the other."""


async def orphans(sessions: Sessions, workflow: str, runs: Sequence[RunSummary], now: float) -> Sequence[Finding]:
    """Return a finding for each run of a turn that isn't the first in its session's queue; raise what a store raises.

    A turn's run begins when the turn is the first, and the turn leaves the queue when the run is over.
    """
    found = []
    for run in runs:
        if run.workflow != workflow or not run.session or now - run.created_at < YOUNG:
            continue
        first = (await sessions.hold(run.session, "", "", 0.0)).first  # Of no turn: this holds none.
        if first is None or run.id.partition(".")[0] != first.run:
            what = "no turn of its session waits for it: it was answered without it, given up, or forgotten"
            found.append(Finding(run.id, "orphan", what, "cancel"))
    return found
