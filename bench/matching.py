"""Matches a second through the service `CAPABILITIES`, next to a scan of everything: see README.md."""

from __future__ import annotations

import json
import logging
import platform
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import anyio
import msgspec
from semver import Version

from tta_agents import AGENT_REGISTRY, AGENTS, AgentId, AgentsMemory, AgentsPlugin, Capability, CapabilityType
from tta_capabilities import CapabilitySet, Config, MatchCriteria, Strategy
from tta_capabilities.discovery import Discovery
from tta_capabilities.finder import Finder
from tta_capabilities.index import CapabilityIndex
from tta_kernel import Kernel

GOAL = 30_000
COUNT, EACH, NAMES, LIMIT = 1_000, 5, 200, 10
ROUNDS, OURS, THEIRS, OTHERS, CHECKED = 9, 5_000, 60, 500, 400
KINDS: tuple[CapabilityType, ...] = ("processing", "generation", "analysis", "coordination", "storage", "communication")
OBJECTS = (
    "text story world memory mood safety image sound dialogue plan map quest hint rule event scene voice item goal"
)
DEEDS = "analysis generation storage routing summary scoring search review merge repair check"
TAGS = "fast slow beta audio kind calm dark light deep wide cold warm new old big small"
VERSIONS = [f"{major}.{minor}.{patch}" for major in (1, 2) for minor in (0, 1, 9, 10) for patch in (0, 3)] + [
    "2.0.0-rc.1", "3.0.0",
]  # fmt: skip
RANGES = (("1.2.0", "1.99.0"), ("2.0.0", None), ("1.9.0", None), (None, "2.0.0"))


class Workload:
    """Agents whose capabilities' names are Zipf-distributed, and criteria whose names are, too."""

    def __init__(self, seed: int = 4) -> None:
        self.dice = random.Random(seed)
        every = [f"{what}_{deed}" for what in OBJECTS.split() for deed in DEEDS.split()]
        self.names = self.dice.sample(every, NAMES)
        self.weights = [1 / rank for rank in range(1, NAMES + 1)]
        self.kinds = {name: self.dice.choice(KINDS) for name in self.names}
        self.sets = [self.agent(number) for number in range(COUNT)]
        self.criteria = [self.demand() for _ in range(OURS)]

    def name(self) -> str:
        """Return a name, the first one most often."""
        return self.dice.choices(self.names, self.weights)[0]

    def agent(self, number: int) -> CapabilitySet:
        """Return an agent with capabilities as they fall; one in twenty is away."""
        dice = self.dice
        capabilities = tuple(
            Capability(
                name, self.kinds[name], dice.choice(VERSIONS), f"Does {name}.", priority=dice.randint(1, 10),
                estimated_duration_ms=dice.uniform(10, 2000), tags=frozenset(dice.sample(TAGS.split(), 3)),
            )
            for name in (self.name() for _ in range(EACH))
        )  # fmt: skip
        return CapabilitySet(
            agent_id=AgentId("agent", f"{number:04}"), capabilities=capabilities, load_factor=dice.random(),
            availability=dice.random() > 0.05,
        )  # fmt: skip

    def demand(self) -> MatchCriteria:
        """Return criteria: a name in nine of ten, a part of one else; half name a kind, a range, a time limit."""
        dice, name = self.dice, self.name()
        low, high = dice.choice(RANGES) if dice.random() < 0.5 else (None, None)
        return MatchCriteria(
            capability_name=name if dice.random() < 0.9 else dice.choice(name.split("_")),
            capability_type=self.kinds[name] if dice.random() < 0.5 else None,
            min_version=low,
            max_version=high,
            preferred_version=dice.choice(VERSIONS) if dice.random() < 0.3 else None,
            max_duration_ms=dice.uniform(100, 2000) if dice.random() < 0.5 else None,
            required_tags=frozenset([dice.choice(TAGS.split())]) if dice.random() < 0.2 else frozenset(),
        )

    def loads(self, count: int) -> list[tuple[int, float]]:
        """Return changes of load: whose, and to what."""
        return [(self.dice.randrange(COUNT), self.dice.random()) for _ in range(count)]


# The predecessor: a re-implementation from its description, predecessor.md 1.6, without pydantic, which would
# make it slower. It walks through all agents and scores each capability; versions compare as strings.


@dataclass(slots=True)
class Agent:
    """An agent as the predecessor holds it: its load is an attribute."""

    found: CapabilitySet
    load: float


@dataclass(slots=True)
class Scored:
    """A result as the predecessor has it."""

    agent: AgentId
    capability: Capability
    score: float
    exact: bool
    version: bool
    quick: bool
    load: float
    available: bool


def scan(agents: Sequence[Agent], criteria: MatchCriteria, limit: int) -> list[Scored]:
    """Match as the predecessor does by its weighted strategy."""
    results = []
    for agent in agents:
        if (criteria.require_available and not agent.found.availability) or agent.load > criteria.max_load_factor:
            continue
        for capability in agent.found.capabilities:
            if capability.status != "active":
                continue
            name = criteria.capability_name
            if not name or capability.name == name:
                named = 1.0
            elif name.lower() in capability.name.lower():
                named = 0.7
            else:
                continue
            if criteria.capability_type and capability.type != criteria.capability_type:
                continue
            version, low, high = capability.version, criteria.min_version, criteria.max_version
            if (low and version < low) or (high and version > high):
                continue
            preferred = 1.0 if version == criteria.preferred_version else 0.8
            slow = (
                criteria.max_duration_ms is not None
                and capability.estimated_duration_ms is not None
                and capability.estimated_duration_ms > criteria.max_duration_ms
            )
            score = 0.4 * named + 0.3 + 0.2 * preferred + 0.1 * (0.5 if slow else 1.0)
            exact = named == 1.0 and preferred == 1.0 and not slow
            results.append(
                Scored(
                    agent.found.agent_id, capability, score=min(1.0, score), exact=exact,
                    version=True, quick=not slow, load=agent.load, available=agent.found.availability,
                )
            )  # fmt: skip
    results.sort(key=lambda each: each.score, reverse=True)
    return results[:limit]


# What is right: the same, by our rules, without any haste.


def expected(sets: Sequence[CapabilitySet], criteria: MatchCriteria) -> list[tuple[object, ...]]:
    """Return the best as a look at everything finds them: score, address, name, version."""
    found = []
    for each in sets:
        if not each.availability or each.load_factor > criteria.max_load_factor:
            continue
        for capability in each.capabilities:
            name, version = criteria.capability_name or "", Version.parse(capability.version)
            if (
                name not in capability.name
                or criteria.capability_type not in (None, capability.type)
                or (criteria.min_version and version < Version.parse(criteria.min_version))
                or (criteria.max_version and version > Version.parse(criteria.max_version))
                or not criteria.required_tags <= capability.tags
            ):
                continue
            named = 1.0 if capability.name == name else 0.7
            preferred = 1.0 if capability.version == criteria.preferred_version else 0.8
            slow = (capability.estimated_duration_ms or 0) > (criteria.max_duration_ms or float("inf"))
            score = round(0.4 * named + 0.3 + 0.2 * preferred + 0.1 * (0.5 if slow else 1.0), 6)
            order = (-score, each.load_factor, str(each.agent_id), capability.name, capability.version)
            found.append((order, (score, str(each.agent_id), capability.name, capability.version)))
    return [told for _, told in sorted(found)[:LIMIT]]


async def check(finder: Finder, index: CapabilityIndex, workload: Workload) -> None:
    """Hold what the service finds, while loads change, against a look at everything."""
    sets = {each.agent_id: each for each in workload.sets}
    some = workload.dice.sample(workload.criteria, CHECKED)
    for criteria, (place, load) in zip(some, workload.loads(CHECKED), strict=True):
        id = workload.sets[place].agent_id
        index.update(id, load)
        sets[id] = msgspec.structs.replace(sets[id], load_factor=load)
        found = await finder.match(criteria, max_results=LIMIT)
        told = [(m.match_score, str(m.agent_id), m.capability.name, m.capability.version) for m in found]
        if told != (wanted := expected([*sets.values()], criteria)):
            raise RuntimeError(f"{criteria} found {told}, not {wanted}")


async def rate(finder: Finder, index: CapabilityIndex, workload: Workload, strategy: Strategy, count: int) -> float:
    """Return matches a second, each after a change of one agent's load, which counts, too."""
    changes = [(workload.sets[place].agent_id, load) for place, load in workload.loads(count)]
    some = workload.dice.sample(workload.criteria, count)
    began = perf_counter()
    for criteria, (id, load) in zip(some, changes, strict=True):
        index.update(id, load)
        await finder.match(criteria, strategy, max_results=LIMIT)
    return count / (perf_counter() - began)


def scan_rate(agents: Sequence[Agent], workload: Workload) -> float:
    """Return the predecessor's matches a second, under the same conditions."""
    some, changes = workload.dice.sample(workload.criteria, THEIRS), workload.loads(THEIRS)
    began = perf_counter()
    for criteria, (place, load) in zip(some, changes, strict=True):
        agents[place].load = load
        scan(agents, criteria, LIMIT)
    return THEIRS / (perf_counter() - began)


def change_rate(index: CapabilityIndex, workload: Workload) -> float:
    """Return changes of load a second."""
    changes = [(workload.sets[place].agent_id, load) for place, load in workload.loads(OURS)]
    began = perf_counter()
    for id, load in changes:
        index.update(id, load)
    return OURS / (perf_counter() - began)


async def main() -> dict[str, float]:
    """Measure in a kernel whose agents plugin serves nobody: all agents are in the index already."""
    async with Kernel(plugins={"agents": AgentsPlugin, "agents-memory": AgentsMemory}) as kernel:
        return await measure(kernel)


async def measure(kernel: Kernel) -> dict[str, float]:
    """Measure ours and theirs in turn, and return the medians."""
    workload, index, log = Workload(), CapabilityIndex(), logging.getLogger("bench")
    began = perf_counter()
    for each in workload.sets:
        index.put(each)
    figures = {"index_ms": (perf_counter() - began) * 1000}
    discovery = Discovery(kernel.get(AGENTS), kernel.get(AGENT_REGISTRY), index, Config(), log)
    finder = Finder(index, discovery, None, log, embedding_timeout=Config().embedding_timeout)
    await check(finder, index, workload)
    agents = [Agent(each, each.load_factor) for each in workload.sets]
    pairs = [
        (await rate(finder, index, workload, "weighted", OURS), scan_rate(agents, workload)) for _ in range(ROUNDS)
    ]
    figures["load_changes_per_s"] = median(change_rate(index, workload) for _ in range(3))
    strategies: tuple[Strategy, ...] = ("exact", "priority", "fuzzy", "semantic")
    for strategy in strategies:
        figures[f"{strategy}_per_s"] = median([await rate(finder, index, workload, strategy, OTHERS) for _ in range(3)])
    ours, theirs = (median(column) for column in zip(*pairs, strict=True))
    figures |= {"matches_per_s_lowest": min(pair[0] for pair in pairs), "predecessor_per_s": theirs}
    return figures | {"matches_per_s": ours, "ratio_predecessor": median(a / b for a, b in pairs)}


def say(figures: dict[str, float], line: Callable[[str], None] = print) -> None:
    """Print the figures, the verdict, and the line of JSON."""
    line(f"{platform.python_implementation()} {platform.python_version()}, {COUNT} agents × {EACH} capabilities")
    line(f"{CHECKED} searches found what a look at everything finds; medians of {ROUNDS} rounds in turn")
    for name, value in figures.items():
        line(f"{name:>22} {value:12,.1f}")
    if figures["matches_per_s"] < GOAL:
        line(f"below the goal of {GOAL:,} matches a second")
    line(json.dumps({name: round(figures[name], 1) for name in ("matches_per_s", "ratio_predecessor")}))


if __name__ == "__main__":
    say(anyio.run(main))
