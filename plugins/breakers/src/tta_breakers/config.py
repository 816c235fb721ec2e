"""Which settings a breaker has, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from tta_kernel import PositiveDuration

from .model import BreakerSettings

_DEFAULT = BreakerSettings()


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings by name, or by how names begin (``agent:*``); of several that fit the longest counts, as a whole.

    ``kept``: how many breakers a process keeps ready. ``refresh``: how often, in seconds, it reads all of them, beyond
    hearing of each change. ``patience``: how long who asks for a probe, or resets a breaker, waits for the store.
    """

    names: Mapping[str, BreakerSettings] = {}
    kept: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    refresh: PositiveDuration = 30.0
    patience: PositiveDuration = 1.0

    def settings_of(self, name: str) -> BreakerSettings:
        """Return the settings of a breaker."""
        if name in self.names:
            return self.names[name]
        fitting = [pattern for pattern in self.names if pattern.endswith("*") and name.startswith(pattern[:-1])]
        return self.names[max(fitting, key=len)] if fitting else _DEFAULT
