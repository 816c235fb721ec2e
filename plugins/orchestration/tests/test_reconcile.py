"""Runs of turns for which no session waits any more are found, and no others."""

from __future__ import annotations

import time

import pytest

from tta_orchestration.reconcile import YOUNG, orphans
from tta_sessions import Admission, Held, SessionsError
from tta_sessions.memory import MemorySessions
from tta_workflows import Finding, RunSummary

NOW = 10_000.0


def run(id: str, *, session: str = "s", workflow: str = "turn", began: float = NOW - YOUNG - 1) -> RunSummary:
    return RunSummary(id, workflow, "running", began, session=session)


async def test_a_run_without_a_turn_that_waits_for_it_is_an_orphan() -> None:
    sessions = MemorySessions(time.time, ttl=1000, limit=10)
    for name in ("told", "next"):
        await sessions.admit(Admission("s", "anna", name, "hello", "h"), 60.0)
    found = await orphans(
        sessions, "turn",
        [
            run("told"), run("told.2"), run("next"), run("gone"), run("elsewhere", session="other"),
            run("young", began=NOW - 1), run("job", workflow="job"), run("nobody", session=""),
        ],
        NOW,
    )  # fmt: skip
    assert [(each.run, each.code, each.fix) for each in found] == [
        ("next", "orphan", "cancel"), ("gone", "orphan", "cancel"), ("elsewhere", "orphan", "cancel"),
    ]  # fmt: skip
    assert isinstance(found[0], Finding)
    assert (await sessions.hold("s", "told", "h", 1.0)).status == "held"


async def test_a_store_that_is_away_makes_no_orphans() -> None:
    class Away(MemorySessions):
        async def hold(self, session: str, run: str, holder: str, ttl: float, told: int = 0) -> Held:
            raise SessionsError("it is away")

    with pytest.raises(SessionsError):
        await orphans(Away(time.time, ttl=1000, limit=10), "turn", [run("gone")], NOW)
