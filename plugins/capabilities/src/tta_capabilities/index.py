"""Index once, match many: capabilities by name, text and load, so that a match looks at few of them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator, KeysView, Sequence, Set
from itertools import count

from tta_agents import AgentId

from .matching import CapabilitySet, MatchCriteria
from .postings import Entry, IndexedAgent, Item, Postings, merged
from .similarity import text_of

_PARTS = 1024
"""Of how many parts of names it is remembered which names have them, until a name comes or goes."""


class CapabilityIndex:
    """Who can do what, and how busy they are; a load changes in O(log n) comparisons."""

    def __init__(self) -> None:
        self._agents: dict[AgentId, IndexedAgent] = {}
        self._by_load: list[tuple[float, str, int, IndexedAgent]] = []
        self._names: dict[str, Postings] = {}
        self._texts: dict[str, dict[Entry, None]] = {}
        self._versions: Counter[str] = Counter()
        self._parts: dict[str, list[str]] = {}
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._agents)

    def __contains__(self, agent: object) -> bool:
        return agent in self._agents

    @property
    def agents(self) -> list[AgentId]:
        return list(self._agents)

    @property
    def names(self) -> KeysView[str]:
        return self._names.keys()

    @property
    def texts(self) -> KeysView[str]:
        """What there is to read about the capabilities, each text once."""
        return self._texts.keys()

    @property
    def versions(self) -> KeysView[str]:
        return self._versions.keys()

    def put(self, found: CapabilitySet) -> None:
        """Add an agent, or take over what has changed of it; ValueError if its load is no number."""
        known = self._agents.get(found.agent_id)
        if known is not None and known.capabilities == found.capabilities:
            self._update(known, found.load_factor, available=found.availability, degraded=found.degraded)
            return
        agent = IndexedAgent(found, next(self._numbers))  # Before the old one goes: it may be refused.
        self.remove(found.agent_id)
        self._agents[agent.id] = agent
        insort(self._by_load, agent.item)
        for place, capability in enumerate(found.capabilities):
            if capability.status not in ("active", "deprecated"):
                continue
            key = f"{agent.key}\0{capability.name}\0{capability.version}\0{place:04}"
            entry = Entry(agent, capability, key, next(self._numbers), text_of(capability))
            agent.entries.append(entry)
            if (postings := self._names.get(capability.name)) is None:
                postings = self._names[capability.name] = Postings()
                self._parts.clear()
            postings.add(entry)
            self._texts.setdefault(entry.text, {})[entry] = None
            self._versions[entry.version] += 1
        agent.entries.sort(key=lambda entry: entry.item[1])

    def remove(self, id: AgentId) -> bool:
        """Forget an agent; False if it was not there."""
        if (agent := self._agents.pop(id, None)) is None:
            return False
        del self._by_load[bisect_left(self._by_load, agent.item)]
        for entry in agent.entries:
            name = entry.capability.name
            postings = self._names[name]
            postings.remove(entry)
            if not postings:
                del self._names[name]
                self._parts.clear()
            self._versions[entry.version] -= 1
            if not self._versions[entry.version]:
                del self._versions[entry.version]
            del self._texts[entry.text][entry]
            if not self._texts[entry.text]:
                del self._texts[entry.text]
        return True

    def update(
        self, id: AgentId, load: float | None = None, *, available: bool | None = None, degraded: bool | None = None
    ) -> bool:
        """Take over how an agent is; False if it is not there, ValueError if its load is no number."""
        if (agent := self._agents.get(id)) is None:
            return False
        self._update(
            agent,
            agent.load if load is None else load,
            available=agent.available if available is None else available,
            degraded=agent.degraded if degraded is None else degraded,
        )
        return True

    def _update(self, agent: IndexedAgent, load: float, *, available: bool, degraded: bool) -> None:
        if load == agent.load and available == agent.available and degraded == agent.degraded:
            return
        old, was_ready = agent.item, agent.ready
        agent.set_state(load, available=available, degraded=degraded)
        del self._by_load[bisect_left(self._by_load, old)]
        insort(self._by_load, agent.item)
        for entry in agent.entries:
            self._names[entry.capability.name].move(entry, was_ready=was_ready)

    def named(self, names: Iterable[str], criteria: MatchCriteria, only: Set[str] = frozenset()) -> Iterable[Item]:
        """Return the capabilities of these names that may come into question, least load first.

        Where ``only`` isn't empty, of these versions.
        """
        known = [self._names[name] for name in names if name in self._names]
        found = [items for postings in known for items in postings.lists(criteria, only) if items]
        return found[0] if len(found) == 1 else merged(found)

    def saying(self, texts: Iterable[str]) -> list[Item]:
        """Return the capabilities of which these texts are to read, least load first."""
        return sorted(entry.item for text in texts for entry in self._texts.get(text, ()))

    def everything(self, only: Set[str] = frozenset()) -> Iterator[Item]:
        """Yield all, least load first; where ``only`` isn't empty, of these versions."""
        for _, _, _, agent in self._by_load:
            for entry in agent.entries:
                if not only or entry.version in only:
                    yield entry.item

    def containing(self, part: str) -> Sequence[str]:
        """Return the other names of which this is a part, in any case."""
        found = self._parts.get(part)
        if found is None:
            if len(self._parts) >= _PARTS:
                self._parts.clear()
            found = self._parts[part] = [name for name in sorted(self._names) if name != part and part.lower() in name]
        return found
