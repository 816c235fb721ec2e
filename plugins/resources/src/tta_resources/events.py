"""What is told when a resource gets tight, and when it is well again."""

from __future__ import annotations

from typing import ClassVar

from tta_kernel import Event

from .model import Level


class ResourceWarned(Event, frozen=True, tag="resources.warned"):
    """A resource is tight: ``early``, or at the ``warning`` threshold; or it was worse, and is only that now."""

    __shown__: ClassVar = ("node", "resource", "level", "before")

    node: str
    resource: str
    level: Level
    before: Level
    used: float
    full_in: float | None = None


class ResourceExhausted(Event, frozen=True, tag="resources.exhausted"):
    """A resource is at the ``critical`` threshold."""

    __shown__: ClassVar = ("node", "resource", "before")

    node: str
    resource: str
    before: Level
    used: float
    full_in: float | None = None


class ResourceRecovered(Event, frozen=True, tag="resources.recovered"):
    """A resource is below all thresholds again."""

    __shown__: ClassVar = ("node", "resource", "before")

    node: str
    resource: str
    before: Level
    used: float
