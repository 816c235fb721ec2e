"""How crises went of late, in numbers: of whom, and what they wrote, it says nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from statistics import median

import msgspec

from tta_audit import Audit
from tta_sessions import Sessions, SessionsError

from .crises import StoredCrises
from .model import LEVELS, CrisisQuery, Feedback, Intervention
from .trends import Trends, trends
from .trends import rows as trend_rows

_MOST = 50_000
_SESSIONS = 2_000
_LONG = 100
"""Turns from which on a session counts as a long one."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Interventions and what became of them; times in seconds, None where there is nothing to measure.

    ``forgotten`` are those of persons that were forgotten, of which a day, a kind and a level are kept. ``reliance`` is
    of the sessions that had an intervention: how many turns, and how many of them are long; ``trends`` of all turns.
    """

    since: float
    interventions: int
    people: int
    by_level: Mapping[str, int]
    by_kind: Mapping[str, int]
    by_day: Mapping[str, int]
    open: int
    escalated: int
    resolutions: Mapping[str, int]
    to_acknowledge: float | None
    to_acknowledge_longest: float | None
    judgements: Mapping[str, int]
    forgotten: int
    verdicts: Mapping[str, int] = {}
    reliance: Mapping[str, float] = {}
    trends: Trends = Trends()


async def gather(
    crises: StoredCrises, since: float, sessions: Sessions | None = None, audit: Audit | None = None
) -> Report:  # fmt: skip
    """Read what there is since a time, and count it."""
    found: list[Intervention] = []
    cursor = ""
    while len(found) < _MOST:
        page = await crises.page(CrisisQuery(since=since, cursor=cursor, most=500))
        found += page.interventions
        cursor = page.cursor
        if not cursor:
            break
    feedback = [each async for each in _feedback(crises, since)]
    traces = await crises.store.traces()
    first = datetime.fromtimestamp(max(0.0, since), UTC).date().isoformat()
    waited = [each.acknowledged_at - each.opened_at for each in found if each.acknowledged_at]
    verdicts, reliance = await _sessions(found, sessions)
    return Report(
        since=since, interventions=len(found), people=len({each.owner for each in found if each.owner}),
        by_level=_counted(each.level for each in found), by_kind=_counted(each.kind for each in found),
        by_day=_counted(datetime.fromtimestamp(each.opened_at, UTC).date().isoformat() for each in found),
        open=sum(each.status == "open" for each in found), escalated=sum(each.escalated_at > 0 for each in found),
        resolutions=_counted(each.resolution for each in found if each.resolution),
        to_acknowledge=median(waited) if waited else None, to_acknowledge_longest=max(waited, default=None),
        judgements=_counted(each.judgement for each in feedback),
        forgotten=sum(each.day >= first for each in traces), verdicts=verdicts, reliance=reliance,
        trends=await trends(audit, since),
    )  # fmt: skip


def rows(report: Report) -> Sequence[tuple[str, str]]:
    """Return a report as lines of two cells."""
    levels = ", ".join(f"{level} {report.by_level.get(level, 0)}" for level in reversed(LEVELS))
    return [
        ("interventions", f"{report.interventions}, of {report.people} people"),
        ("by level", levels),
        ("by kind", _line(report.by_kind)),
        ("by day", _line(report.by_day)),
        ("open, escalated", f"{report.open}, {report.escalated}"),
        (
            "a human saw to it in",
            f"{_seconds(report.to_acknowledge)}, at most {_seconds(report.to_acknowledge_longest)}",
        ),
        ("resolved as", _line(report.resolutions)),
        ("clinicians say", _line(report.judgements)),
        ("of forgotten persons", str(report.forgotten)),
        ("verdicts in their sessions", _line(report.verdicts)),
        ("reliance on the story", ", ".join(f"{name} {value:g}" for name, value in report.reliance.items()) or "-"),
        *trend_rows(report.trends),
    ]


async def _feedback(crises: StoredCrises, since: float) -> AsyncIterator[Feedback]:
    cursor = ""
    while True:
        page = await crises.judgements(cursor=cursor, most=500)
        for each in page.feedback:
            if each.at < since:
                return
            yield each
        cursor = page.cursor
        if not cursor:
            return


async def _sessions(
    found: Iterable[Intervention], sessions: Sessions | None
) -> tuple[Mapping[str, int], Mapping[str, float]]:
    """Count verdicts and turns of the sessions that had an intervention: others can't be listed."""
    if sessions is None:
        return {}, {}
    verdicts: Counter[str] = Counter()
    turns: list[int] = []
    hours: list[float] = []
    for id in list(dict.fromkeys(each.session for each in found))[:_SESSIONS]:
        try:
            session = await sessions.get(id)
        except SessionsError:
            continue
        if session is None:
            continue
        history = session.context.get("history", ())
        turn = session.context.get("turn", 0)
        turns.append(turn if isinstance(turn, int) else 0)
        hours.append((session.updated_at - session.created_at) / 3600)
        verdicts.update(_levels(history))
    if not turns:
        return {}, {}
    return dict(sorted(verdicts.items())), {
        "sessions": len(turns),
        "turns in the median": median(turns),
        f"of more than {_LONG} turns": sum(each > _LONG for each in turns),
        "hours from first to last in the median": round(median(hours), 2),
    }


def _levels(history: object) -> Iterable[str]:
    for page in history if isinstance(history, list | tuple) else ():
        verdict = page.get("verdicts", {}).get("player") if isinstance(page, dict) else None
        if isinstance(verdict, dict):
            yield str(verdict.get("level") or verdict.get("status") or "unchecked")


def _counted(values: Iterable[str]) -> Mapping[str, int]:
    return dict(sorted(Counter(values).items()))


def _line(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "-"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} s"
