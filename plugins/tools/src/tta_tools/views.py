"""Tools as lists and routes show them, with how they have done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from .figures import Figures
from .model import Isolation, ToolSpec

Sort = Literal["name", "calls", "error_rate", "p95", "last_used"]


class ToolView(Struct, frozen=True, kw_only=True):
    """A tool, and its figures of all processes; times in seconds since the epoch, durations in seconds.

    ``timeout``, ``memory`` and ``cache_ttl`` are None where the tool says nothing of them: then config does.
    """

    name: str
    version: str
    description: str
    status: str
    owner: str
    capabilities: Sequence[str]
    safety_flags: Sequence[str]
    idempotent: bool
    shared: bool
    told: bool
    isolation: Isolation
    timeout: float | None
    memory: int | None
    cache_ttl: float | None
    parameters: Mapping[str, Any]
    returns: Mapping[str, Any]
    created_at: float
    last_used_at: float
    calls: int
    failures: Mapping[str, int]
    error_rate: float
    cached: int
    p50: float
    p95: float

    @property
    def id(self) -> str:
        """``name:version``."""
        return f"{self.name}:{self.version}"


def view(spec: ToolSpec, figures: Figures | None) -> ToolView:
    """Return a tool as it is shown."""
    found = figures or Figures()
    return ToolView(
        name=spec.name, version=spec.version, description=spec.description, status=spec.status, owner=spec.owner,
        capabilities=spec.capabilities, safety_flags=spec.safety_flags, idempotent=spec.idempotent, shared=spec.shared,
        told=spec.told, isolation=spec.isolation, timeout=spec.timeout, memory=spec.memory, cache_ttl=spec.cache_ttl,
        parameters={each.name: {**each.schema, "required": each.required} for each in spec.parameters},
        returns=spec.returns_schema, created_at=spec.created_at,
        last_used_at=max(spec.last_used_at, found.last_used_at), calls=found.calls, failures=found.failures,
        error_rate=round(found.error_rate, 4), cached=found.cached, p50=found.quantile(0.5), p95=found.quantile(0.95),
    )  # fmt: skip


def ordered(views: Sequence[ToolView], by: Sort) -> Sequence[ToolView]:
    """Return tools by name and version, or those first of which the figure is highest."""
    if by == "name":
        return sorted(views, key=lambda each: each.id)
    field = "last_used_at" if by == "last_used" else by
    return sorted(views, key=lambda each: (-getattr(each, field), each.id))
