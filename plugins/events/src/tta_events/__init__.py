"""Events: the last ones of a process, numbered, for whoever asks what has happened."""

from __future__ import annotations

from .model import DROPPED, EVENTS, LONGEST_WAIT, Entry, Events, Page, Where
from .plugin import Config, EventsPlugin
from .ring import Ring

__all__ = [
    "DROPPED", "EVENTS", "LONGEST_WAIT", "Config", "Entry", "Events", "EventsPlugin", "Page",
    "Ring", "Where",
]  # fmt: skip
