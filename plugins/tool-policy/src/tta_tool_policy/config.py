"""What may be set of the policy, by config or by the predecessor's variables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from tta_kernel import ConfigPath, PositiveDuration

from .model import Percent
from .reading import Overrides
from .rules import Count
from .showing import HIDDEN

PRESETS = Path(__file__).parent / "policies"
Preset = Literal["locked_down", "permissive"]
Truth = bool | Literal[0, 1, "y", "n"]
"""As the predecessor's variables were read: 1, true, yes, y and on, and their opposites."""


class OwnDefaults(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What goes before the ``defaults`` of the policy's file; a rule must still allow.

    ``callables`` are separated by commas, and none may be run where it is empty.
    """

    callables: Annotated[str | None, Meta(extra={"env": "TTA_ALLOWED_CALLABLES", "empty": True})] = None
    network: Annotated[Truth | None, Meta(extra={"env": "TTA_ALLOW_NETWORK_TOOLS"})] = None
    filesystem: Annotated[Truth | None, Meta(extra={"env": "TTA_ALLOW_FILESYSTEM_TOOLS"})] = None
    process: Annotated[Truth | None, Meta(extra={"env": "TTA_ALLOW_PROCESS_TOOLS"})] = None
    timeout_ms: Annotated[int, Meta(ge=1, le=86_400_000, extra={"env": "TTA_TOOL_TIMEOUT_MS"})] | None = None
    max_concurrency: Annotated[Count | None, Meta(extra={"env": "TTA_TOOL_MAX_CONCURRENCY"})] = None
    cpu_limit_percent: Annotated[Percent | None, Meta(extra={"env": "TTA_TOOL_CPU_LIMIT_PERCENT"})] = None
    memory_limit_mb: Annotated[int, Meta(ge=1, le=1_000_000, extra={"env": "TTA_TOOL_MEMORY_LIMIT_MB"})] | None = None


class Config(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may be set under ``plugins: {tool-policy: {config: ...}}``.

    ``file`` goes before ``preset``; without both no tool may be called. ``watch``: whether a changed file is put in
    force by itself, at most ``poll`` seconds later. ``audit``: whether each decision is recorded, and nothing allowed
    that isn't. ``hidden``: what is in the name of a key whose value isn't shown.
    """

    file: Annotated[ConfigPath | None, Meta(extra={"env": "TTA_TOOL_POLICY_CONFIG"})] = None
    preset: Preset | None = None
    defaults: OwnDefaults = OwnDefaults()
    watch: bool = False
    poll: PositiveDuration = 2.0
    audit: Literal["never", "available", "required"] = "available"
    audit_timeout: Annotated[PositiveDuration, Meta(le=60)] = 2.0
    hidden: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(max_length=100)] = HIDDEN

    @property
    def source(self) -> Path | None:
        """Where the policy lies."""
        if self.file is not None or self.preset is None:
            return self.file
        return PRESETS / f"{self.preset}.yaml"

    @property
    def overrides(self) -> Overrides:
        """What goes before the defaults of the policy."""
        given = self.defaults
        return Overrides(
            network=_truth(given.network),
            filesystem=_truth(given.filesystem),
            process=_truth(given.process),
            callables=None if given.callables is None else _names(given.callables),
            timeout=None if given.timeout_ms is None else given.timeout_ms / 1000,
            concurrency=given.max_concurrency,
            cpu_percent=given.cpu_limit_percent,
            memory=None if given.memory_limit_mb is None else given.memory_limit_mb * 1_000_000,
        )


def _truth(value: Truth | None) -> bool | None:
    return None if value is None else value in (True, 1, "y")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
