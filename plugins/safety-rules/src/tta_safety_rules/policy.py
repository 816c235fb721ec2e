"""What a match means for whom: levels, and whose crisis it names, which context may lower, and never hide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tta_safety import KINDS, Channel, Finding, Level
from tta_safety.rules import Modifier

if TYPE_CHECKING:
    from .engine import Hit

LEVELS: tuple[Level, ...] = ("safe", "warning", "blocked")
PROTECTED = frozenset({"suicide", "self_harm", "substance", "abuse"})
"""Where context makes a doubt of what a person says of themselves, never nothing: to ask once too often is cheap."""
_FRAMES: frozenset[Modifier] = frozenset({"fiction", "quotation", "hypothetical"})
"""What never hides a person's own crisis of any kind: whoever dares not say it says that a character does."""
_LOWERED = 0.85
"""What of its risk a doubtful match keeps: enough to stand above what is not one."""


def doubtful(hit: Hit) -> bool:
    """Whether a match whose context speaks against it may still be a person's own crisis."""
    around = hit.circumstances
    if around.subject not in ("self", "unknown") or hit.rule.category not in KINDS:
        return False
    return hit.rule.category in PROTECTED or around.modifiers <= _FRAMES


def level_of(hit: Hit, channel: Channel) -> Level:
    """Return the level of a match, with what is around it."""
    if hit.rule.validation == "keyword" or not hit.circumstances.modifiers:
        return hit.rule.level
    if channel == "player" and hit.rule.level != "safe" and doubtful(hit):
        return "warning"
    return "safe"


def risk_of(hit: Hit, level: Level) -> float:
    """Return the risk of a match that has a level."""
    if level == "safe":
        return 0.0
    whole = hit.rule.level == level and not hit.circumstances.modifiers
    return hit.rule.sensitivity if whole else hit.rule.sensitivity * _LOWERED


def kind_of(hit: Hit, level: Level, channel: Channel) -> str:
    """Return the kind of crisis that a match names: present, affirmed, the person's own; else ""."""
    around = hit.circumstances
    own = around.subject in ("self", "unknown")
    if channel != "player" or level == "safe" or not own or around.modifiers:
        return ""
    return hit.rule.kind


def severity_of(hit: Hit) -> int:
    """Return the cue along the C-SSRS: what is about to be done stands higher than what is only thought of."""
    severity = hit.rule.severity
    if severity in (3, 4) and hit.circumstances.temporality == "imminent":
        return severity + 1
    return severity


def finding_of(hit: Hit, level: Level, channel: Channel) -> Finding:
    """Return a match as a verdict shows it."""
    around = hit.circumstances
    what = hit.rule.why or hit.rule.category
    if around.modifiers:
        what += f" ({', '.join(sorted(around.modifiers))})"
    return Finding(
        rule=hit.rule.reference,
        category=hit.rule.category,
        level=level,
        severity=severity_of(hit),
        subject=around.subject,
        polarity=around.polarity,
        temporality=around.temporality,
        channel=channel,
        span=hit.span,
        why=what[:300],
    )
