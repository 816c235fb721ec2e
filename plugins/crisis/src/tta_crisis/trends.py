"""How turns went of late, also of those who had no crisis: verdicts by day, and who leans on a story for how long.

It reads the audit, which has each turn with what was checked, no text, and a pseudonym in place of its person.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median

import anyio
import msgspec

from tta_audit import Audit, Record, position
from tta_kernel import as_failure, raised_at

TURN = "safety.turn"
VERDICT = "gen_ai.security.verdict.type"
BREAK = 1800.0
"""Seconds without a turn after which another sitting begins."""
LONG = 7200.0
"""Seconds from which on a sitting counts as a long one."""
_MOST = 200_000
_PAGE = 500
_LIMIT = 60.0
"""Seconds that reading the audit may take."""


class Trends(msgspec.Struct, frozen=True, kw_only=True):
    """Turns, verdicts by day, and sittings: turns of a session with no break of half an hour between them.

    Times in seconds, None where there is nothing to measure. ``breaks``: the median of those within a session.
    ``untold``: why nothing could be read, or not all.
    """

    turns: int = 0
    people: int = 0
    sessions: int = 0
    by_day: Mapping[str, Mapping[str, int]] = {}
    sittings: int = 0
    long_sittings: int = 0
    sitting: float | None = None
    longest_sitting: float | None = None
    breaks: float | None = None
    untold: str = ""


async def trends(audit: Audit | None, since: float, *, limit: float = _LIMIT) -> Trends:
    """Read what is recorded of turns since a time, for up to ``limit`` seconds, and count it."""
    if audit is None:
        return Trends(untold="nothing that keeps an audit is enabled")
    found: list[Record] = []
    untold = f"it took more than {limit:g} s to read"
    with anyio.move_on_after(limit):
        try:
            untold = await _read(audit, since, found)
        except BaseException as exc:  # noqa: BLE001 - another plugin may provide it
            failure = as_failure(exc)
            untold = f"the audit can't be read: {type(failure).__name__} at {raised_at(failure)}"
    return msgspec.structs.replace(counted(found), untold=untold)


async def _read(audit: Audit, since: float, found: list[Record]) -> str:
    before = ""
    while len(found) < _MOST:
        page = await audit.read(limit=_PAGE, before=before, what=TURN)
        recent = [each for each in page if each.at >= since]
        found += recent
        if len(recent) < len(page) or len(page) < _PAGE:
            return ""
        before = position(page[-1])
    return f"there are more than {_MOST:,} turns, and these are the last"


def counted(records: Iterable[Record]) -> Trends:
    """Count what records say of turns."""
    verdicts: dict[str, Counter[str]] = defaultdict(Counter)
    times: dict[str, list[float]] = defaultdict(list)
    people: set[str] = set()
    number = 0
    for each in records:
        number += 1
        day = datetime.fromtimestamp(each.at, UTC).date().isoformat()
        verdicts[day][str(each.details.get(VERDICT, "unchecked"))] += 1
        times[str(each.details.get("session.id", ""))].append(each.at)
        people |= {each.owner} - {""}
    lasting: list[float] = []
    breaks: list[float] = []
    for at in times.values():
        sittings, between = _sittings(sorted(at))
        lasting += sittings
        breaks += between
    return Trends(
        turns=number, people=len(people), sessions=len(times),
        by_day={day: dict(sorted(verdicts[day].items())) for day in sorted(verdicts)},
        sittings=len(lasting), long_sittings=sum(each >= LONG for each in lasting),
        sitting=median(lasting) if lasting else None, longest_sitting=max(lasting, default=None),
        breaks=median(breaks) if breaks else None,
    )  # fmt: skip


def _sittings(at: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return how long each sitting lasted, and each break between them."""
    begun, lasting, breaks = at[0], list[float](), list[float]()
    for one, next in pairwise(at):
        if next - one > BREAK:
            lasting.append(one - begun)
            breaks.append(next - one)
            begun = next
    return [*lasting, at[-1] - begun], breaks


def rows(found: Trends) -> Sequence[tuple[str, str]]:
    """Return it as lines of two cells."""
    lines = [("turns", f"{found.turns}, of {found.people} people in {found.sessions} sessions")]
    for day, verdicts in found.by_day.items():
        lines.append((f"verdicts on {day}", ", ".join(f"{name} {count}" for name, count in verdicts.items())))
    lasted = f"{_minutes(found.sitting)} in the median, {_minutes(found.longest_sitting)} at most"
    lines.append(("sittings", f"{found.sittings}, {lasted}, {found.long_sittings} of two hours or more"))
    lines.append(("breaks between them", f"{_minutes(found.breaks)} in the median"))
    return [*lines, ("not told", found.untold)] if found.untold else lines


def _minutes(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds / 60:.0f} min"
