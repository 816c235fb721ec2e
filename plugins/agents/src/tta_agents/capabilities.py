"""What an agent says that it can do: a capability, by name, kind and semantic version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from .validation import amount, one_of, text_set

CapabilityType = Literal["processing", "generation", "analysis", "coordination", "storage", "communication"]
CapabilityScope = Literal["session", "global", "instance"]
CapabilityStatus = Literal["active", "deprecated", "disabled", "experimental"]

_TYPES: tuple[str, ...] = get_args(CapabilityType)
_SCOPES: tuple[str, ...] = get_args(CapabilityScope)
_STATUSES: tuple[str, ...] = get_args(CapabilityStatus)
_PRIORITIES = range(1, 11)
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,127}")

# The grammar of https://semver.org, items 2, 9 and 10. Numbers are bounded: whoever compares versions has to
# read them, and Python reads no number of more than 4,300 digits.
_NUMBER = r"(?:0|[1-9][0-9]{0,15})"
_PRERELEASE = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_BUILD = r"[0-9A-Za-z-]+"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    rf"(?:-{_PRERELEASE}(?:\.{_PRERELEASE})*)?"
    rf"(?:\+{_BUILD}(?:\.{_BUILD})*)?"
)


class Capability(msgspec.Struct, frozen=True):
    """One thing that an agent can do; building or decoding one checks its name and version.

    ``version`` follows SemVer 2.0.0; ``estimated_duration_ms`` is for one call; ``priority`` says from
    1 to 10 how much its agent is preferred for it; ``resource_requirements`` are amounts by name,
    ``metadata`` is anything that a search may ask for.
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
            if not _is_version(self.version):
                raise ValueError(f"{self.version!r} is no semantic version; write it as 1.2.3")
            if self.priority not in _PRIORITIES:
                raise ValueError(f"a priority is a whole number between 1 and 10, not {self.priority!r}")
            one_of("type", self.type, _TYPES)
            one_of("scope", self.scope, _SCOPES)
            one_of("status", self.status, _STATUSES)
            text_set("required_inputs", self.required_inputs)
            text_set("optional_inputs", self.optional_inputs)
            text_set("tags", self.tags)
            if self.estimated_duration_ms is not None:
                amount("estimated_duration_ms", self.estimated_duration_ms)
            for resource, value in self.resource_requirements.items():
                amount(f"resource_requirements {resource}", value)
        except ValueError as exc:
            raise ValueError(f"capability {self.name!r}: {exc}") from None


def _is_version(value: object) -> bool:
    return isinstance(value, str) and _VERSION.fullmatch(value) is not None
