"""Capabilities in the order in which they are wanted: whoever has the least to do comes first."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Set
from heapq import merge

from .capabilities import Capability
from .matching import CapabilitySet, MatchCriteria
from .model import AgentId
from .versions import Verdict, verdicts

Item = tuple[float, str, int, "Entry"]
"""Load, then what decides between equal loads, then a number that no two share: entries are never compared."""


class Occupant:
    """An agent in the index."""

    __slots__ = ("available", "capabilities", "degraded", "entries", "id", "item", "key", "load", "number", "ready")

    def __init__(self, found: CapabilitySet, number: int) -> None:
        self.id: AgentId = found.agent_id
        self.key, self.number = f"{self.id.type}\0{self.id.instance or ''}", number
        self.capabilities, self.entries = found.capabilities, list[Entry]()
        self.set_state(found.load_factor, available=found.availability, degraded=found.degraded)

    def set_state(self, load: float, *, available: bool, degraded: bool) -> None:
        """Take over how the agent is; a load above 1 counts as 1, one that isn't a number is a ValueError."""
        if not load >= 0:
            raise ValueError(f"agent {self.id}: its load factor {load} is no number from 0 to 1")
        self.load, self.available, self.degraded = min(1.0, load), available, degraded
        self.ready = available and not degraded
        self.item = (self.load, self.key, self.number, self)


class Entry:
    """A capability of an agent, with what a scan looks at."""

    __slots__ = ("agent", "capability", "deprecated", "duration", "inputs", "item", "text", "type", "version")

    def __init__(self, agent: Occupant, capability: Capability, key: str, number: int, text: str) -> None:
        self.agent, self.capability, self.text = agent, capability, text
        self.type, self.version = capability.type, capability.version
        self.deprecated = capability.status == "deprecated"
        self.duration = capability.estimated_duration_ms or 0.0
        self.inputs = capability.required_inputs | capability.optional_inputs
        self.item: Item = (agent.load, key, number, self)


class Postings:
    """The entries of one name, by load; those of agents that are away or degraded apart."""

    __slots__ = ("away", "ready")

    def __init__(self) -> None:
        self.ready: list[Item] = []
        self.away: list[Item] = []

    def __len__(self) -> int:
        return len(self.ready) + len(self.away)

    def add(self, entry: Entry) -> None:
        insort(self.ready if entry.agent.ready else self.away, entry.item)

    def remove(self, entry: Entry) -> None:
        items = self.ready if entry.agent.ready else self.away
        del items[bisect_left(items, entry.item)]

    def move(self, entry: Entry, *, was_ready: bool) -> None:
        """Put an entry where its agent's new state wants it."""
        items = self.ready if was_ready else self.away
        del items[bisect_left(items, entry.item)]
        _, key, number, _ = entry.item
        entry.item = (entry.agent.load, key, number, entry)
        insort(self.ready if entry.agent.ready else self.away, entry.item)

    def items(self, criteria: MatchCriteria, only: Set[str]) -> Iterable[Item]:
        """Return what may come into question, least load first; where ``only`` isn't empty, of these versions."""
        ready, away = self.ready, self.away
        if only:
            ready = [item for item in ready if item[3].version in only]
        if not away or (criteria.require_available and not criteria.include_degraded):
            return ready
        return merge(ready, [item for item in away if not only or item[3].version in only])


def admitted(items: Iterable[Item], criteria: MatchCriteria) -> Iterator[tuple[Entry, Verdict]]:
    """Yield those of ``items``, which come least load first, that meet whatever is demanded.

    The one place where filters are applied, whatever the strategy.
    """
    most, kind, deprecated = criteria.max_load_factor, criteria.capability_type, criteria.include_deprecated
    available, degraded = criteria.require_available, criteria.include_degraded
    inputs, tags = criteria.required_inputs, criteria.required_tags
    metadata, resources = criteria.metadata_filters, criteria.resource_constraints
    demanding = bool(inputs or tags or metadata or resources)
    judge = verdicts(criteria.version, criteria.min_version, criteria.max_version, criteria.preferred_version)
    for load, _, _, entry in items:
        if load > most:
            return
        if kind is not None and entry.type != kind:
            continue
        if not (verdict := judge[entry.version]):
            continue
        if entry.deprecated and not deprecated:
            continue
        agent = entry.agent
        if not agent.ready and ((available and not agent.available) or (agent.degraded and not degraded)):
            continue
        if demanding:
            found = entry.capability
            if not (inputs <= entry.inputs and tags <= found.tags):
                continue
            if any(found.resource_requirements.get(name, 0) > limit for name, limit in resources.items()):
                continue
            if any(name not in found.metadata or found.metadata[name] != value for name, value in metadata.items()):
                continue
        yield entry, verdict
