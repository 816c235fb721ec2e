"""What an agent says that it can do: a capability, by name, kind and semantic version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from semver import Version

CapabilityType = Literal["processing", "generation", "analysis", "coordination", "storage", "communication"]
CapabilityScope = Literal["session", "global", "instance"]
CapabilityStatus = Literal["active", "deprecated", "disabled", "experimental"]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,127}")


class Capability(msgspec.Struct, frozen=True):
    """One thing that an agent can do; building or decoding one checks its name and version.

    ``version`` follows SemVer 2.0.0; ``estimated_duration_ms`` is for one call; ``priority`` says from
    1 to 10 how much its agent is preferred for it; ``resource_requirements`` are amounts by name,
    ``metadata`` is anything that `MatchCriteria.metadata_filters` may ask for.
    """

    name: str
    type: CapabilityType = "processing"
    version: str = "1.0.0"
    description: str = ""
    scope: CapabilityScope = "session"
    status: CapabilityStatus = "active"
    required_inputs: frozenset[str] = frozenset()
    optional_inputs: frozenset[str] = frozenset()
    estimated_duration_ms: Annotated[float, Meta(ge=0)] | None = None
    resource_requirements: Mapping[str, float] = {}
    tags: frozenset[str] = frozenset()
    metadata: Mapping[str, Any] = {}
    priority: Annotated[int, Meta(ge=1, le=10)] = 5

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"capability {self.name[:128]!r}: a name is lower-case letters, digits, '_' and '-'")
        try:
            Version.parse(self.version)
        except (TypeError, ValueError):
            what = f"capability {self.name!r}: {self.version!r} is no semantic version; write it as 1.2.3"
            raise ValueError(what) from None
        if not 1 <= self.priority <= 10:
            raise ValueError(f"capability {self.name!r}: a priority lies between 1 and 10, not at {self.priority}")
