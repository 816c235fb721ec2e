"""What has become of rules that were loaded, for whoever listens."""

from __future__ import annotations

from typing import ClassVar

from tta_kernel import Event


class RulesLoaded(Event, frozen=True, tag="safety-rules.loaded"):
    """Other rules are in force."""

    __shown__: ClassVar = ("digest", "rules")

    digest: str
    rules: int


class RulesRefused(Event, frozen=True, tag="safety-rules.refused"):
    """Rules were to be loaded and can't be used; those before stay in force."""

    __shown__: ClassVar = ("problems",)

    problems: tuple[str, ...]
