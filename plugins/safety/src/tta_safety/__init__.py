"""Safety: the vocabulary in which text is checked."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import ClassVar

from tta_kernel import Event, NoConfig, Plugin, hookimpl

from . import hookspecs
from .hookspecs import check_text, turn_checked
from .merging import each, judge, known_kinds, merge
from .model import (
    CATEGORIES,
    KINDS,
    STATE,
    TOLD,
    About,
    Action,
    Channel,
    CheckedTurn,
    CheckFailed,
    Finding,
    Level,
    Polarity,
    Status,
    Subject,
    Temporality,
    Verdict,
    category,
)
from .reviews import REVIEWS, Review, Reviews, ReviewsError

__all__ = [
    "CATEGORIES", "KINDS", "REVIEWS", "STATE", "TOLD", "About", "Action", "Channel", "CheckFailed", "CheckedTurn",
    "Finding", "Level", "Polarity", "Review", "Reviews", "ReviewsError", "SafetyPlugin", "Status", "Subject",
    "Temporality", "Verdict", "category", "check_text", "each", "judge", "known_kinds", "merge", "turn_checked",
]  # fmt: skip


class SafetyPlugin(Plugin[NoConfig]):
    """Brings the hook ``check_text``; it checks nothing itself."""

    hookspecs: ClassVar[ModuleType | None] = hookspecs

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (CheckFailed,)
