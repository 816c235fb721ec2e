"""Safety: the vocabulary in which text is checked."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import ClassVar

from tta_kernel import Event, NoConfig, Plugin, hookimpl

from . import hookspecs
from .hookspecs import check_text
from .model import TOLD, About, Channel, CheckFailed, Level, Verdict, judge, merge

__all__ = [
    "TOLD", "About", "Channel", "CheckFailed", "Level", "SafetyPlugin", "Verdict", "check_text", "judge", "merge",
]  # fmt: skip


class SafetyPlugin(Plugin[NoConfig]):
    """Brings the hook ``check_text``; it checks nothing itself."""

    hookspecs: ClassVar[ModuleType | None] = hookspecs

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (CheckFailed,)
