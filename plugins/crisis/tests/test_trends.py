"""What the audit's turns say of how checks went, and of who leans on a story for how long."""

from __future__ import annotations

from typing import Any

import pytest

from tta_audit import Entry, MemoryAudit, Record
from tta_crisis.trends import TURN, VERDICT, counted, rows, trends
from tta_kernel.testing.strangers import Outcome, Stranger, strangers

DAY = 86_400.0
AT = 20_000 * DAY + 36_000.0


def turn(at: float, session: str = "s-1", owner: str = "p-1", verdict: str = "allow") -> Record:
    return Record(
        v=1, chain="a", number=1, at=AT + at, what=TURN, who="orchestration", kind="system", outcome="done",
        owner=owner, details={VERDICT: verdict, "session.id": session},
    )  # fmt: skip


def test_sittings_are_turns_without_a_break_of_half_an_hour() -> None:
    first = [turn(minutes * 60.0) for minutes in range(0, 150, 10)]
    second = [turn(minutes * 60.0 + 5 * 3600, verdict="warn") for minutes in (0, 20)]
    third = [turn(DAY, session="s-2", owner="p-2", verdict="failed"), turn(0.0, session="s-3", owner="")]
    found = counted([*reversed(second), *third, *first])
    assert (found.turns, found.people, found.sessions) == (19, 2, 3)
    assert (found.sittings, found.long_sittings, found.longest_sitting) == (4, 1, 8400.0)
    assert (found.sitting, found.breaks) == (600.0, 9600.0)
    assert list(found.by_day.values()) == [{"allow": 16, "warn": 2}, {"failed": 1}]
    assert ("sittings", "4, 10 min in the median, 140 min at most, 1 of two hours or more") in rows(found)


def test_without_turns_there_is_nothing_to_measure() -> None:
    assert rows(counted([])) == [
        ("turns", "0, of 0 people in 0 sessions"),
        ("sittings", "0, - in the median, - at most, 0 of two hours or more"),
        ("breaks between them", "- in the median"),
    ]


async def test_only_turns_since_a_time_are_read_page_by_page() -> None:
    now = AT
    audit = MemoryAudit(clock=lambda: now, limit=5000)
    for number in range(1200):
        now = AT + number
        await audit.record(
            Entry(
                what=TURN, who="o", kind="system", outcome="done", owner="anna",
                details={VERDICT: "allow", "session.id": "s-1"},
            )
        )  # fmt: skip
    found = await trends(audit, AT + 100)
    assert (found.turns, found.untold) == (1100, "")
    assert "anna" not in str(found)


@pytest.mark.parametrize("stranger", strangers("async", returns=list[Record], limit=0.2), ids=str)
async def test_an_audit_that_is_a_stranger_s_is_no_end_of_a_report(stranger: Stranger) -> None:
    class Odd:
        def read(self, **asked: Any) -> Any:
            return stranger()

    odd: Any = Odd()
    if stranger.outcome is Outcome.STOP:
        with pytest.raises(BaseException):  # noqa: PT011, B017 - whichever it is, it is an interrupt
            await trends(odd, 0.0, limit=0.2)
        return
    found = await trends(odd, 0.0, limit=0.2)
    assert found.turns == 0
    assert found.untold.isprintable()
    assert (await trends(None, 0.0)).untold == "nothing that keeps an audit is enabled"
