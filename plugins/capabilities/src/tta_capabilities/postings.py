"""Capabilities in the order in which they are wanted: whoever has the least to do comes first."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import chain

from tta_agents import AgentId, Capability

from .matching import CapabilitySet, MatchCriteria
from .versions import Verdict, verdicts

_FEW = 8
_MISSING = object()

Item = tuple[float, str, int, "Entry"]
"""Load, then what decides between equal loads, then a number that no two share: entries are never compared."""


class IndexedAgent:
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

    __slots__ = (
        "agent", "capability", "deprecated", "duration", "eligible", "inputs", "item", "text", "type", "version",
    )  # fmt: skip

    def __init__(self, agent: IndexedAgent, capability: Capability, key: str, number: int, text: str) -> None:
        self.agent, self.capability, self.text = agent, capability, text
        self.type, self.version = capability.type, capability.version
        self.deprecated = capability.status == "deprecated"
        self.duration = capability.estimated_duration_ms or 0.0
        self.inputs = capability.required_inputs | capability.optional_inputs
        self.item: Item = (agent.load, key, number, self)
        self.refresh()

    def refresh(self) -> None:
        """Take over how the agent is; an ``eligible`` entry needs no second look at what it and its agent are."""
        _, key, number, _ = self.item
        self.item = (self.agent.load, key, number, self)
        self.eligible = self.agent.ready and not self.deprecated


class Postings:
    """The entries of one name, by load; those of agents that are away or degraded apart."""

    __slots__ = ("away", "kinds", "ready", "versions")

    def __init__(self) -> None:
        self.ready: list[Item] = []
        self.away: list[Item] = []
        self.kinds: Counter[str] = Counter()
        self.versions: dict[str, dict[Entry, None]] = {}

    def __len__(self) -> int:
        return len(self.ready) + len(self.away)

    def add(self, entry: Entry) -> None:
        insort(self.ready if entry.agent.ready else self.away, entry.item)
        self.kinds[entry.type] += 1
        self.versions.setdefault(entry.version, {})[entry] = None

    def remove(self, entry: Entry) -> None:
        items = self.ready if entry.agent.ready else self.away
        del items[bisect_left(items, entry.item)]
        self.kinds[entry.type] -= 1
        del self.versions[entry.version][entry]
        if not self.versions[entry.version]:
            del self.versions[entry.version]

    def move(self, entry: Entry, *, was_ready: bool) -> None:
        """Put an entry where its agent's new state wants it."""
        items = self.ready if was_ready else self.away
        del items[bisect_left(items, entry.item)]
        entry.refresh()
        insort(self.ready if entry.agent.ready else self.away, entry.item)

    def lists(self, criteria: MatchCriteria, only: Set[str]) -> list[list[Item]]:
        """Return what may come into question, each least load first; where ``only`` isn't empty, of these versions."""
        if criteria.capability_type is not None and not self.kinds[criteria.capability_type]:
            return []
        everybody = not criteria.require_available or criteria.include_degraded
        if only:
            # So few that sorting them now is quicker than keeping them sorted.
            entries = (entry for version in only if version in self.versions for entry in self.versions[version])
            return [sorted([entry.item for entry in entries if everybody or entry.agent.ready])]
        return [self.ready, self.away] if everybody and self.away else [self.ready]


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
    verdict: Verdict = 1
    for load, _, _, entry in items:
        if load > most:
            return
        if kind is not None and entry.type != kind:
            continue
        if judge.selective and not (verdict := judge[entry.version]):
            continue
        if not entry.eligible:
            agent = entry.agent
            if (available and not agent.available) or (agent.degraded and not degraded):
                continue
            if entry.deprecated and not deprecated:
                continue
        if demanding:
            found = entry.capability
            if (tags and not tags <= found.tags) or (inputs and not inputs <= entry.inputs):
                continue
            if resources and any(found.resource_requirements.get(name, 0) > limit for name, limit in resources.items()):
                continue
            if metadata and any(found.metadata.get(name, _MISSING) != value for name, value in metadata.items()):
                continue
        yield entry, verdict


def merged(lists: Sequence[list[Item]]) -> Iterator[Item]:
    """Yield the items of sorted lists in order; the few that most callers want without a look at all the rest.

    Sorting a few slices is several times as quick as a heap that is asked for one item at a time.
    """
    rest: list[Item] = []
    at, size = 0, _FEW
    while lists:
        rest = sorted(chain(rest, *(items[at : at + size] for items in lists)))
        at += size
        lists = [items for items in lists if len(items) > at]
        # Up to here no list has more to say than what was taken from it.
        certain = bisect_right(rest, min(items[at - 1] for items in lists)) if lists else len(rest)
        yield from rest[:certain]
        rest, size = rest[certain:], 4 * size
