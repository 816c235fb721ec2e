"""What an agent says that it can do: a capability, by name, kind and semantic version."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta
from semver import Version

CapabilityType = Literal["processing", "generation", "analysis", "coordination", "storage", "communication"]
CapabilityScope = Literal["session", "global", "instance"]
CapabilityStatus = Literal["active", "deprecated", "disabled", "experimental"]

KINDS, _SCOPES, _STATUSES = map(get_args, (CapabilityType, CapabilityScope, CapabilityStatus))
_PRIORITIES = range(1, 11)
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
        try:
            if self.priority not in _PRIORITIES:
                raise ValueError(f"a priority is a whole number between 1 and 10, not {self.priority!r}")
            one_of("type", self.type, KINDS)
            one_of("scope", self.scope, _SCOPES)
            one_of("status", self.status, _STATUSES)
            a_set("required_inputs", self.required_inputs)
            a_set("optional_inputs", self.optional_inputs)
            a_set("tags", self.tags)
            if self.estimated_duration_ms is not None:
                amount("estimated_duration_ms", self.estimated_duration_ms)
            for resource, value in self.resource_requirements.items():
                amount(f"resource_requirements {resource}", value)
        except ValueError as exc:
            raise ValueError(f"capability {self.name!r}: {exc}") from None


# A Struct checks what it holds only where it is decoded; whoever builds one is to hear of it there.


def amount(what: str, value: object, most: float = math.inf) -> None:
    """Raise a ValueError unless ``value`` is a number from 0 to ``most``."""
    if not isinstance(value, int | float) or not 0 <= value <= most:
        raise ValueError(
            f"{what} is a number from 0" + (f" to {most:g}" if most < math.inf else "") + f", not {value!r}"
        )


def a_set(what: str, value: object) -> None:
    """Raise a ValueError unless ``value`` is a set of texts."""
    if not isinstance(value, frozenset | set) or (value and not all(isinstance(each, str) for each in value)):
        raise ValueError(f"{what} is a set of texts, such as frozenset({{'a'}}), not {type(value).__name__}")


def one_of(what: str, value: object, known: tuple[str, ...]) -> None:
    """Raise a ValueError unless ``value`` is among what is ``known``."""
    if value not in known:
        raise ValueError(f"{what} is one of {', '.join(known)}, not {value!r}")
