"""What others have come to and a session hasn't: runs that nobody will read, and crises that should pause a story."""

from __future__ import annotations

from collections.abc import Sequence
from logging import Logger

import anyio

from tta_kernel import as_failure
from tta_sessions import Sessions
from tta_sessions.flags import set_flags
from tta_workflows import Finding, RunSummary

from .guard import where
from .oversight import Oversight

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


async def pause_where_a_crisis_is_open(
    sessions: Sessions, oversight: Oversight, log: Logger, session: str, user: str, *, limit: float
) -> None:
    """Pause a story whose crisis is open, where its process ended before it could; the next turn is a conversation.

    One that its person went on with since then goes on. Each call of the store has ``limit`` seconds.
    """
    turn = await oversight.open_since(session, user)
    if turn is None:
        return
    try:
        with anyio.fail_after(limit):
            if await sessions.get(session) is not None:
                await set_flags(
                    sessions, session, user, unless=lambda flags: flags.paused or flags.went_on > turn, paused=True
                )
    except BaseException as exc:  # noqa: BLE001 - a stranger's store; the next turn says what is wrong with it
        log.warning("a session wasn't reconciled with its crisis: %s", where(as_failure(exc)))
