"""How serious a crisis is, from what a check has found: one pure function, and a table.

The cues follow the screener of the Columbia Suicide Severity Rating Scale (C-SSRS; Posner et al., American Journal of
Psychiatry 168, 2011, 1266-1277): 1 a wish to be dead, 2 active thoughts, 3 with a method, 4 with some intent, 5 with a
plan and intent, 6 behaviour, also preparatory. Its triage has 1-2 low, 3 moderate, 4-5 high, and behaviour of the last
three months high. Ours is never lower, but for a cue of 1, and goes up with time: it is a triage for the people who are
told, made from text, and says nothing of what a person has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tta_safety import KINDS, Finding, Verdict

from .model import LEVELS, Assessment, Level

_LOW, _MODERATE, _HIGH, _CRITICAL = range(len(LEVELS))
_UNKNOWN_CUE = 0

TABLE: Mapping[str, tuple[int, int, int, int, int, int, int]] = {
    # By severity, 0 (no cue: it is a crisis, and nobody knows how far it has gone) to 6.
    "suicide": (_MODERATE, _LOW, _MODERATE, _MODERATE, _HIGH, _CRITICAL, _CRITICAL),
    "self_harm": (_MODERATE, _LOW, _MODERATE, _MODERATE, _HIGH, _HIGH, _CRITICAL),
    "substance": (_MODERATE, _LOW, _LOW, _MODERATE, _HIGH, _HIGH, _CRITICAL),
    "abuse": (_MODERATE, _MODERATE, _MODERATE, _MODERATE, _HIGH, _CRITICAL, _CRITICAL),
    "violence": (_MODERATE, _LOW, _MODERATE, _MODERATE, _HIGH, _CRITICAL, _CRITICAL),
    "psychosis": (_MODERATE, _MODERATE, _MODERATE, _MODERATE, _HIGH, _HIGH, _CRITICAL),
    "eating_disorder": (_LOW, _LOW, _LOW, _MODERATE, _MODERATE, _HIGH, _HIGH),
    "panic": (_LOW, _LOW, _LOW, _LOW, _MODERATE, _MODERATE, _HIGH),
    "depression": (_LOW, _LOW, _MODERATE, _MODERATE, _HIGH, _HIGH, _HIGH),
}
"""The level of a kind by the severity of a cue that is present."""
PROTECTIVE = "protective"
"""A flag of a verdict that begins with this names what speaks for safety, such as ``protective:reasons-to-live``."""
_PROTECTED = 3
"""Up to this severity what speaks for safety counts; beyond it, it changes nothing."""


class _Seen(NamedTuple):
    """What the findings of a kind amount to."""

    severity: int
    level: int
    imminent: bool


def assess(verdict: Verdict, kind: str, *, earlier: int = 0, age_band: str = "unknown") -> Assessment:
    """Say how serious the crisis of a ``kind`` is that a verdict names; ``earlier`` are the session's of late.

    More evidence never makes it less serious: each finding is looked at by itself, and the most serious counts.
    A kind that nobody knows is assessed as suicide is.
    """
    row = TABLE.get(kind, TABLE["suicide"])
    findings = [each for each in verdict.findings if each.category == kind and _counts(each)]
    seen = [_look(each, row) for each in findings] or [_Seen(_UNKNOWN_CUE, row[_UNKNOWN_CUE], imminent=False)]
    severity = max(each.severity for each in seen)
    imminent = any(each.imminent for each in seen)
    level = max(each.level for each in seen)
    protective = tuple(sorted(flag for flag in verdict.flags if flag.startswith(PROTECTIVE)))
    if earlier and level < _HIGH:
        level += 1
    if level == _MODERATE and kind == "abuse" and age_band in ("child", "teen"):
        level = _HIGH  # Somebody must look who knows what a minor is owed.
    little = severity <= _PROTECTED and not imminent and not earlier and kind != "abuse"
    if protective and little and level == _MODERATE:
        level = _LOW
    return Assessment(
        kind=kind, level=LEVELS[level], severity=severity, ideation=severity >= 1, means=severity >= 3,
        intent=severity >= 4, plan=severity >= 5, behaviour=severity >= 6, imminent=imminent, protective=protective,
        earlier=earlier, rules=tuple(sorted({each.rule for each in findings}))[:50],
    )  # fmt: skip


def _counts(finding: Finding) -> bool:
    """Whether it may be the person's own, now: what is denied, or told of others, is no cue for how far it has gone."""
    return (
        finding.subject in ("self", "unknown")
        and finding.polarity != "negated"
        and finding.temporality != "hypothetical"
    )


def _look(finding: Finding, row: Sequence[int]) -> _Seen:
    level = row[finding.severity]
    imminent = finding.temporality == "imminent"
    if imminent and level < _CRITICAL:
        level += 1
    if finding.temporality == "past":
        # As C-SSRS has behaviour of long ago.
        level = min(level, _MODERATE)
    return _Seen(finding.severity, level, imminent)


def levels_of(kinds: Sequence[str] = KINDS) -> Sequence[tuple[str, Level]]:
    """Return all pairs of a kind and a level, for which there must be a protocol."""
    return [(kind, level) for kind in kinds for level in LEVELS]
