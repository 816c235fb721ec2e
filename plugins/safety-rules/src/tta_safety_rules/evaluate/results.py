"""What comes out of judged rows: figures over all, by category, by group, and by conversation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from tta_safety import CATEGORIES

from .measures import Measure, area, median, quantile, recall_at, share
from .reading import NONE, Row
from .running import Scored, conversations

RATES = (0.01, 0.05, 0.1)
"""The false-alarm rates at which recall is shown."""


class Slice(msgspec.Struct, frozen=True):
    """The figures of some of the rows; None where there is nothing to measure."""

    name: str
    positive: int
    negative: int
    recall: Measure | None
    false_alarms: Measure | None
    precision: Measure | None
    escalated: Measure | None
    falsely_escalated: Measure | None
    area: Measure | None
    recall_at: tuple[Measure | None, ...]


class Talks(msgspec.Struct, frozen=True):
    """When the risk was seen in conversations that have one: ``turns`` of the first warning, from the beginning."""

    risky: int
    seen: int
    turns: tuple[int, ...]
    delays: tuple[int, ...]
    """How many turns after the first that is labelled; negative where it was seen before."""
    harmless: int
    falsely: int


class Results(msgspec.Struct, frozen=True):
    """All figures of a set of rows."""

    texts: int
    labelled: int
    levels: dict[str, int]
    whole: Slice
    categories: tuple[Slice, ...]
    groups: tuple[Slice, ...]
    talks: Talks | None
    microseconds: tuple[float, float, float]
    """The median, the 99th percentile and the greatest."""
    late: Measure | None
    """The share of texts for which the deep head would have been late; None without it."""


def results_of(rows: Sequence[Row], scored: Sequence[Scored], late: Sequence[bool] = ()) -> Results:
    """Measure judged rows; ``late`` says of each text that the deep head read whether it took too long."""
    pairs = list(zip(rows, scored, strict=True))
    labelled = [pair for pair in pairs if pair[0].label is not None]
    harmless = [pair for pair in labelled if not pair[0].label]
    categories = []
    for name in sorted({row.category for row, _ in labelled} - {NONE}):
        positive = [pair for pair in labelled if pair[0].label and pair[0].category == name]
        # Without harmless ones of its own a category is measured against all that are harmless.
        own = [pair for pair in harmless if pair[0].category == name]
        of = _risk_of(name) if name in CATEGORIES else _overall
        categories.append(_slice(name, positive, own, harmless, of))
    groups = []
    for name in sorted({row.group for row, _ in labelled} - {""}):
        members = [pair for pair in labelled if pair[0].group == name]
        own = [pair for pair in members if not pair[0].label]
        groups.append(_slice(name, [pair for pair in members if pair[0].label], own, own or harmless, _overall))
    times = [float(it.microseconds) for it in scored]
    levels: dict[str, int] = {}
    for it in scored:
        levels[it.level] = levels.get(it.level, 0) + 1
    return Results(
        texts=len(rows),
        labelled=len(labelled),
        levels=levels,
        whole=_slice("all", [pair for pair in labelled if pair[0].label], harmless, harmless, _overall),
        categories=tuple(categories),
        groups=tuple(groups),
        talks=_talks(rows, scored),
        microseconds=(median(times), quantile(times, 0.99), max(times)),
        late=share(sum(late), len(late)),
    )


_Pair = tuple[Row, Scored]


def _overall(scored: Scored) -> float:
    return scored.risk


def _risk_of(name: str) -> Callable[[Scored], float]:
    return lambda scored: scored.risks.get(name, 0.0)


def _slice(
    name: str,
    positive: Sequence[_Pair],
    negative: Sequence[_Pair],
    against: Sequence[_Pair],
    of: Callable[[Scored], float],
) -> Slice:
    ups = [of(it) for _, it in positive]
    downs = [of(it) for _, it in against]
    hits = sum(it.warned for _, it in positive)
    alarms = sum(it.warned for _, it in negative)
    return Slice(
        name=name,
        positive=len(positive),
        negative=len(negative),
        recall=share(hits, len(positive)),
        false_alarms=share(alarms, len(negative)),
        precision=share(hits, hits + alarms) if negative else None,
        escalated=share(sum(it.escalate for _, it in positive), len(positive)),
        falsely_escalated=share(sum(it.escalate for _, it in negative), len(negative)),
        area=area(ups, downs),
        recall_at=tuple(recall_at(ups, downs, rate) for rate in RATES),
    )


def _talks(rows: Sequence[Row], scored: Sequence[Scored]) -> Talks | None:
    risky = harmless = falsely = 0
    turns: list[int] = []
    delays: list[int] = []
    for places in conversations(rows):
        if not rows[places[0]].conversation or any(rows[place].label is None for place in places):
            continue
        labelled = [turn for turn, place in enumerate(places, start=1) if rows[place].label]
        warned = [turn for turn, place in enumerate(places, start=1) if scored[place].warned]
        if not labelled:
            harmless += 1
            falsely += bool(warned)
            continue
        risky += 1
        if warned:
            turns.append(warned[0])
            delays.append(warned[0] - labelled[0])
    if not risky and not harmless:
        return None
    return Talks(risky, len(turns), tuple(turns), tuple(delays), harmless, falsely)
