"""What is asked of capabilities, and what is found: criteria, strategies, results, and the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol, get_args

import msgspec
from msgspec import Meta

from tta_agents import AgentId, Capability, CapabilityType
from tta_agents.validation import amount, one_of, text_set
from tta_kernel import Service, check_count

from .versions import constraint, version

Strategy = Literal["exact", "weighted", "fuzzy", "priority", "semantic"]
Method = Literal["exact", "weighted", "fuzzy", "priority", "tf-idf", "embedding"]
SortBy = Literal["match_score", "agent_load", "estimated_duration"]
DiscoveryStatus = Literal["pending", "discovering", "registered", "failed", "disabled"]

Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]

_CAPABILITY_TYPES: tuple[str, ...] = get_args(CapabilityType)


class CapabilitySet(msgspec.Struct, frozen=True, kw_only=True):
    """What one agent can do, and how it is: ``load_factor`` from 0 (idle) to 1 (full)."""

    agent_id: AgentId
    capabilities: tuple[Capability, ...] = ()
    load_factor: Fraction = 0.0
    availability: bool = True
    degraded: bool = False


class MatchCriteria(msgspec.Struct, frozen=True, kw_only=True):
    """What is sought; whatever is left out doesn't matter, and whatever is given is applied by every strategy.

    - ``capability_name``: exact, priority: this name; weighted: a part of it will do; fuzzy: a similar one;
      semantic: words to look for, as ``query`` is.
    - ``required_inputs``: what the caller wants to hand in; each must be a required or an optional input.
    - ``version``: a constraint such as ``>=1.2,<2``. ``min_version`` and ``max_version`` are inclusive and go by
      plain precedence. A ``preferred_version`` is better, but not demanded.
    - ``max_duration_ms``: slower ones are marked, and by the weighted strategy lowered; they aren't dropped.
    - ``resource_constraints``: the most that a capability may require of each resource.
    - ``min_score``: instead of the strategy's own threshold.
    """

    capability_name: str | None = None
    capability_type: CapabilityType | None = None
    query: str = ""
    required_inputs: frozenset[str] = frozenset()
    version: str = ""
    min_version: str | None = None
    max_version: str | None = None
    preferred_version: str | None = None
    max_duration_ms: Annotated[float, Meta(ge=0)] | None = None
    resource_constraints: Mapping[str, float] = {}
    required_tags: frozenset[str] = frozenset()
    metadata_filters: Mapping[str, Any] = {}
    require_available: bool = True
    include_degraded: bool = False
    include_deprecated: bool = False
    max_load_factor: Fraction = 0.8
    min_score: Fraction | None = None

    def __post_init__(self) -> None:
        constraint(self.version)
        for each in (self.min_version, self.max_version, self.preferred_version):
            if each is not None:
                version(each)
        if self.capability_type is not None:
            one_of("capability_type", self.capability_type, _CAPABILITY_TYPES)
        if self.required_inputs or self.required_tags:
            text_set("required_inputs", self.required_inputs)
            text_set("required_tags", self.required_tags)
        amount("max_load_factor", self.max_load_factor, 1.0)
        if self.min_score is not None:
            amount("min_score", self.min_score, 1.0)
        if self.max_duration_ms is not None:
            amount("max_duration_ms", self.max_duration_ms)
        for resource, most in self.resource_constraints.items():
            amount(f"resource_constraints {resource}", most)


class MatchResult(msgspec.Struct, frozen=True, gc=False):
    """One capability of one agent; ``method`` says how the score, from 0 to 1, came about.

    ``version_match``: it is the preferred version, or none was preferred; ``exact_match``: the name, too, is the
    one asked for, and it is quick enough.
    """

    agent_id: AgentId
    capability: Capability
    match_score: float
    exact_match: bool
    version_match: bool
    performance_match: bool
    agent_load_factor: float
    agent_availability: bool
    method: Method


class DiscoveryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A search: the best ``max_results`` by ``sort_by``.

    The best score is the highest, the best load and duration the lowest, unless ``sort_descending`` says
    otherwise; capabilities without an estimated duration come last.
    """

    criteria: MatchCriteria = MatchCriteria()
    strategy: Strategy = "weighted"
    max_results: Annotated[int, Meta(ge=1, le=1000)] = 10
    sort_by: SortBy = "match_score"
    sort_descending: bool | None = None

    def __post_init__(self) -> None:
        check_count("max_results", self.max_results, most=1000)


class DiscoveryResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found; with an ``error`` it is empty because the search itself went wrong."""

    matches: tuple[MatchResult, ...] = ()
    total_agents_searched: int = 0
    search_duration_ms: float = 0.0
    discovery_timestamp: float = 0.0
    error: str = ""


class Discovered(msgspec.Struct, frozen=True, kw_only=True):
    """How far the discovery of one agent's capabilities is; ``since`` in seconds since the epoch."""

    agent_id: AgentId
    status: DiscoveryStatus
    since: float
    error: str = ""


class Capabilities(Protocol):
    """Which agents can do what, among all that the registry knows."""

    async def match(
        self, criteria: MatchCriteria, strategy: Strategy = "weighted", *, max_results: int = 10
    ) -> Sequence[MatchResult]:
        """Return the best matches: by score, then the least loaded, then by address, name and version.

        An error inside is logged, and the answer is empty.
        """

    async def discover(self, request: DiscoveryRequest) -> DiscoveryResult:
        """Match, and say how much was searched and how long it took."""

    async def refresh(self, agent: AgentId | None = None) -> None:
        """Discover one agent, or all that the registry knows, now; the way in where discovery is manual."""

    def discovered(self) -> Sequence[Discovered]:
        """How far the discovery of each known agent is, by address."""


class Embedder(Protocol):
    """Turns texts into vectors whose cosine says how near their meanings are."""

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return one vector per text, all of one length."""


CAPABILITIES = Service[Capabilities]("agent-capabilities")
EMBEDDER = Service[Embedder]("embedder")
