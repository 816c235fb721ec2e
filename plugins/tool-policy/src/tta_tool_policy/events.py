"""What has become of a policy that was to be put in force, for whoever listens."""

from __future__ import annotations

from typing import ClassVar

from tta_kernel import Event


class PolicyLoaded(Event, frozen=True, tag="tool-policy.loaded"):
    """A policy is in force; it may be the same as before."""

    __shown__: ClassVar = ("hash", "rules")

    hash: str
    rules: int


class PolicyRefused(Event, frozen=True, tag="tool-policy.refused"):
    """A policy was to be put in force and can't be used; the one before stays."""

    __shown__: ClassVar = ("hash", "problems")

    hash: str
    """Of the one that stays."""
    problems: tuple[str, ...]
