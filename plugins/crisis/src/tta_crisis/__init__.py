"""Crises: how serious one is, what is done about it, and which human sees to it."""

from __future__ import annotations

from .assessment import TABLE, assess
from .memory import MemoryCrisisStore, place, trace_of
from .model import (
    CRISIS,
    LEVELS,
    STATUSES,
    Assessment,
    Clue,
    Crises,
    CrisisAcknowledged,
    CrisisError,
    CrisisEscalated,
    CrisisOpened,
    CrisisPage,
    CrisisQuery,
    CrisisResolved,
    Disclosure,
    Exchange,
    Feedback,
    FeedbackPage,
    Intervention,
    Level,
    NoSuchIntervention,
    Packet,
    Resolution,
    Status,
    Trace,
    intervention_id,
)
from .packet import Telling, redacted
from .plugin import CrisisMemory, CrisisPlugin
from .settings import Config
from .store import CRISIS_STORE, Changed, CrisisStore, guard, guard_crises

__all__ = [
    "CRISIS", "CRISIS_STORE", "LEVELS", "STATUSES", "TABLE", "Assessment", "Changed", "Clue", "Config", "Crises",
    "CrisisAcknowledged", "CrisisError", "CrisisEscalated", "CrisisMemory", "CrisisOpened", "CrisisPage",
    "CrisisPlugin", "CrisisQuery", "CrisisResolved", "CrisisStore", "Disclosure", "Exchange", "Feedback",
    "FeedbackPage", "Intervention", "Level", "MemoryCrisisStore", "NoSuchIntervention", "Packet", "Resolution",
    "Status", "Telling", "Trace", "assess", "guard", "guard_crises", "intervention_id", "place", "redacted", "trace_of",
]  # fmt: skip
