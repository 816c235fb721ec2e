from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from semver import Version

from tta_agents import AgentId, Capability
from tta_capabilities import CapabilitySet, DiscoveryRequest, MatchCriteria, MatchResult, Strategy
from tta_capabilities.index import CapabilityIndex
from tta_capabilities.strategies import Matcher
from tta_kernel.testing.numbers import NO_COUNTS

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


def has(*capabilities: Capability, instance: str = "1", **state: Any) -> CapabilitySet:
    return CapabilitySet(agent_id=AgentId("a", instance), capabilities=capabilities, **state)


def match(sets: Sequence[CapabilitySet], strategy: Strategy = "weighted", **criteria: Any) -> list[MatchResult]:
    index = CapabilityIndex()
    for each in sets:
        index.put(each)
    return Matcher(index).match(MatchCriteria(**criteria), strategy)


def names(found: Sequence[MatchResult]) -> list[str]:
    return [each.capability.name for each in found]


def instances(found: Sequence[MatchResult]) -> list[str | None]:
    return [each.agent_id.instance for each in found]


def scores(found: Sequence[MatchResult]) -> list[float]:
    return [each.match_score for each in found]


STORY = has(Capability("story"), Capability("story_telling"), Capability("map"))


# Criteria.


@pytest.mark.parametrize("wrong", [{"version": ">=new"}, {"min_version": "1"}, {"preferred_version": "x"}])
def test_criteria_that_make_no_sense_are_refused_when_built(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"version|SemVer"):
        MatchCriteria(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, value) for key in ("max_load_factor", "min_score") for value in (float("nan"), -0.1, 1.1, "1")),
        ("max_duration_ms", float("nan")),
        ("max_duration_ms", -1),
        ("max_duration_ms", float("inf")),
        ("capability_type", "magic"),
        ("required_tags", "story"),
        ("required_inputs", ["world"]),
        ("resource_constraints", {"gpu": float("nan")}),
        ("resource_constraints", {"gpu": "much"}),
    ],
)
def test_numbers_and_kinds_that_would_switch_a_filter_off_are_refused_when_built(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=key):
        MatchCriteria(**{key: value})


# The strategies.


def test_a_whole_name_is_better_than_a_part_and_another_name_is_none() -> None:
    found = match([STORY], capability_name="story")
    assert names(found) == ["story", "story_telling"]
    assert scores(found) == [0.96, pytest.approx(0.96 - 0.4 * 0.3)]
    assert [each.exact_match for each in found] == [True, False]


def test_a_part_of_a_name_is_found_in_any_case_and_wherever_it_stands() -> None:
    assert names(match([STORY], capability_name="TELL")) == ["story_telling"]
    assert names(match([STORY], capability_name="Story")) == ["story", "story_telling"]
    assert match([STORY], capability_name="story\nstory") == []


def test_the_exact_strategy_wants_the_whole_name() -> None:
    assert names(match([STORY], "exact", capability_name="story")) == ["story"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_another_kind_is_no_match(strategy: Strategy) -> None:
    criteria = {"capability_name": "story", "capability_type": "storage"}
    assert match([STORY], strategy, **criteria) == []


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_versions_are_compared_as_numbers(strategy: Strategy) -> None:
    sets = [has(*(Capability("story", version=v) for v in ("1.9.0", "1.10.0", "1.10.0-rc.1", "2.0.0")))]

    def versions(**criteria: str) -> set[str]:
        return {m.capability.version for m in match(sets, strategy, capability_name="story", **criteria)}

    assert versions(version=">=1.10,<2") == {"1.10.0"}
    assert versions(min_version="1.10.0") == {"1.10.0", "2.0.0"}
    assert versions(max_version="1.10.0", min_version="1.9.1") == {"1.10.0", "1.10.0-rc.1"}


def test_a_preferred_version_comes_first_and_alone_is_perfect() -> None:
    sets = [has(Capability("story", version=v), instance=v) for v in ("1.0.0", "2.0.0")]
    found = match(sets, capability_name="story", preferred_version="2.0.0")
    assert instances(found) == ["2.0.0", "1.0.0"]
    assert scores(found) == [1.0, 0.96]
    assert [each.version_match for each in found] == [True, False]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_slow_capability_is_marked_not_dropped(strategy: Strategy) -> None:
    sets = [has(Capability("story", estimated_duration_ms=ms), instance=str(ms)) for ms in (50, 500)]
    found = match(sets, strategy, capability_name="story", max_duration_ms=100)
    assert {each.agent_id.instance: each.performance_match for each in found} == {"50": True, "500": False}
    if strategy == "weighted":
        assert scores(found) == [0.96, pytest.approx(0.91)]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("state", [{"load_factor": 0.81}, {"availability": False}, {"degraded": True}])
def test_an_overloaded_an_absent_and_a_degraded_agent_are_never_returned(
    strategy: Strategy, state: dict[str, Any]
) -> None:
    sets = [has(Capability("story"), instance="well"), has(Capability("story"), instance="ill", **state)]
    assert instances(match(sets, strategy, capability_name="story")) == ["well"]
    index = CapabilityIndex()
    for each in sets:
        index.put(has(*each.capabilities, instance=str(each.agent_id.instance)))
    index.put(sets[1])
    assert instances(Matcher(index).match(MatchCriteria(capability_name="story"), strategy)) == ["well"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_whoever_asks_for_them_gets_the_overloaded_the_absent_and_the_degraded(strategy: Strategy) -> None:
    sets = [
        has(Capability("story"), instance="full", load_factor=1.0),
        has(Capability("story"), instance="away", availability=False, load_factor=0.1),
        has(Capability("story"), instance="ill", degraded=True, load_factor=0.2),
    ]
    wanted = {"max_load_factor": 1.0, "require_available": False, "include_degraded": True}
    found = match(sets, strategy, capability_name="story", **wanted)
    assert instances(found) == ["away", "ill", "full"]
    assert [each.agent_availability for each in found] == [False, True, True]


def test_a_set_with_the_default_load_matches_default_criteria() -> None:
    assert len(match([STORY])) == 3


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("criteria", "fits", "fails"),
    [
        ({"required_tags": frozenset({"a"})}, {"tags": frozenset({"a", "b"})}, {"tags": frozenset({"b"})}),
        ({"metadata_filters": {"lang": "de"}}, {"metadata": {"lang": "de"}}, {"metadata": {"lang": "en"}}),
        ({"metadata_filters": {"lang": None}}, {"metadata": {"lang": None}}, {}),
        (
            {"required_inputs": frozenset({"x", "y"})},
            {"required_inputs": frozenset({"x"}), "optional_inputs": frozenset({"y"})},
            {"required_inputs": frozenset({"x"})},
        ),
        (
            {"resource_constraints": {"gpu": 1.0}},
            {"resource_requirements": {"cpu": 9.0, "gpu": 1.0}},
            {"resource_requirements": {"gpu": 1.5}},
        ),
        ({}, {"status": "active"}, {"status": "disabled"}),
        ({}, {"status": "active"}, {"status": "experimental"}),
        ({}, {"status": "active"}, {"status": "deprecated"}),
        ({"include_deprecated": True}, {"status": "deprecated"}, {"status": "disabled"}),
    ],
)
def test_every_filter_is_applied_by_every_strategy(
    strategy: Strategy, criteria: dict[str, Any], fits: dict[str, Any], fails: dict[str, Any]
) -> None:
    sets = [has(Capability("story", **fits), instance="fits"), has(Capability("story", **fails), instance="fails")]
    assert instances(match(sets, strategy, capability_name="story", **criteria)) == ["fits"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_threshold_is_applied_by_every_strategy(strategy: Strategy) -> None:
    found = match([STORY], strategy, capability_name="story_telling")
    best = found[0].match_score
    above = match([STORY], strategy, capability_name="story_telling", min_score=min(1.0, best))
    assert names(above)[0] == "story_telling"
    assert all(score >= best for score in scores(above))
    if best < 0.99:
        assert match([STORY], strategy, capability_name="story_telling", min_score=best + 0.01) == []


def test_priority_and_load_make_the_order() -> None:
    nine = has(Capability("story", priority=9), instance="nine", load_factor=0.1)
    five = has(Capability("story", priority=5), instance="five")
    found = match([five, nine], "priority", capability_name="story")
    assert instances(found) == ["nine", "five"]
    assert scores(found) == [0.81, 0.5]


def test_fuzzy_forgives_a_slip_and_another_order_but_not_another_word() -> None:
    sets = [has(Capability("narrative_generation"), Capability("cab"), Capability("world_state"))]
    assert names(match(sets, "fuzzy", capability_name="narative_generaton")) == ["narrative_generation"]
    assert match(sets, "fuzzy", capability_name="generation-narrative")[0].match_score == 1.0
    assert match(sets, "fuzzy", capability_name="abcabcabc") == []
    assert scores(match(sets, "fuzzy", min_score=0.5)) == [0.5] * 3


def test_semantic_finds_by_words_of_the_description_and_says_how() -> None:
    sets = [
        has(
            Capability("narrative_generation", description="Tells what happened, as a story."),
            Capability("text_analysis", description="Understands what a player wrote.", tags=frozenset({"feelings"})),
            Capability("world_state", description="Keeps the state of a world."),
        )
    ]
    found = match(sets, "semantic", query="who tells me a story?")
    assert names(found) == ["narrative_generation"]
    assert found[0].method == "tf-idf"
    assert names(match(sets, "semantic", query="feelings")) == ["text_analysis"]
    assert match(sets, "semantic", query="submarines") == []


@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s != "semantic"])
def test_a_result_says_which_strategy_found_it(strategy: Strategy) -> None:
    assert match([STORY], strategy, capability_name="story")[0].method == strategy


# The index.


def test_an_agent_that_goes_is_no_longer_found() -> None:
    index = CapabilityIndex()
    index.put(STORY)
    assert index.remove(STORY.agent_id)
    assert not index.remove(STORY.agent_id)
    assert (len(index), [*index.names], [*index.texts], [*index.versions]) == (0, [], [], [])
    assert Matcher(index).match(MatchCriteria()) == []


def test_a_load_that_is_no_number_is_refused_and_changes_nothing() -> None:
    index = CapabilityIndex()
    index.put(STORY)
    for refused in (float("nan"), -0.1):
        with pytest.raises(ValueError, match="load factor"):
            index.update(STORY.agent_id, refused)
        with pytest.raises(ValueError, match="load factor"):
            index.put(has(Capability("other"), load_factor=refused))
    assert len(Matcher(index).match(MatchCriteria())) == 3


# Against a scorer that looks at everything.


@dataclass(order=True)
class _Scored:
    score: float  # Negated, so that the best comes first.
    load: float
    address: tuple[str, str]
    name: str
    version: str
    place: int

    def key(self) -> tuple[object, ...]:
        return self.address, self.name, self.version, self.place, -self.score


def fits(capability: Capability, each: CapabilitySet, criteria: MatchCriteria) -> bool:
    found = Version.parse(capability.version)
    inputs = capability.required_inputs | capability.optional_inputs
    return (
        each.load_factor <= criteria.max_load_factor
        and (each.availability or not criteria.require_available)
        and (not each.degraded or criteria.include_degraded)
        and (capability.status == "active" or (capability.status == "deprecated" and criteria.include_deprecated))
        and criteria.capability_type in (None, capability.type)
        and (criteria.min_version is None or found >= Version.parse(criteria.min_version))
        and (criteria.max_version is None or found <= Version.parse(criteria.max_version))
        and criteria.required_tags <= capability.tags
        and criteria.required_inputs <= inputs
    )


def score_of(capability: Capability, each: CapabilitySet, criteria: MatchCriteria, strategy: Strategy) -> float | None:
    name, preferred, slowest = criteria.capability_name, criteria.preferred_version, criteria.max_duration_ms
    whole = name in (None, capability.name)
    if strategy == "exact":
        return 1.0 if whole else None
    if strategy == "priority":
        return round(capability.priority / 10 * (1 - each.load_factor), 6) if whole else None
    if not whole and name not in capability.name:  # type: ignore[operator]
        return None
    version = 1.0 if preferred and Version.parse(capability.version) == Version.parse(preferred) else 0.8
    quick = slowest is None or (capability.estimated_duration_ms or 0) <= slowest
    return round(0.4 * (1.0 if whole else 0.7) + 0.3 + 0.2 * version + 0.1 * (1.0 if quick else 0.5), 6)


def brute_force(
    sets: Sequence[CapabilitySet], criteria: MatchCriteria, strategy: Strategy, limit: int
) -> list[tuple[object, ...]]:
    found = []
    for each in sets:
        address = (each.agent_id.type, each.agent_id.instance or "")
        for place, capability in enumerate(each.capabilities):
            if not fits(capability, each, criteria):
                continue
            score = score_of(capability, each, criteria, strategy)
            if score is not None and score >= (criteria.min_score or 0):
                found.append(
                    _Scored(-score, each.load_factor, address, capability.name, capability.version, place)
                )  # fmt: skip
    return [each.key()[1:3] + each.key()[:1] + each.key()[4:] for each in sorted(found)[:limit]]


def told(found: Sequence[MatchResult]) -> list[tuple[object, ...]]:
    return [
        (
            each.capability.name,
            each.capability.version,
            (each.agent_id.type, each.agent_id.instance or ""),
            each.match_score,
        )
        for each in found
    ]


NAMES = ("story", "story_telling", "map")
VERSIONS = ("1.0.0", "1.9.0", "1.10.0", "1.10.0-rc.1", "2.0.0", "2.0.0+b")
KINDS = ("processing", "storage")
LOADS = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.8, 0.9, 1.0])
tags = st.sampled_from([frozenset("abc"), frozenset("a")])
capabilities = st.builds(
    Capability,
    name=st.sampled_from(NAMES),
    type=st.sampled_from(KINDS),
    version=st.sampled_from(VERSIONS),
    status=st.sampled_from(["active", "active", "active", "deprecated", "disabled"]),
    estimated_duration_ms=st.sampled_from([None, 10, 100]),
    tags=tags,
    required_inputs=tags,
    priority=st.integers(1, 10),
)
sets_of_one = st.builds(
    CapabilitySet,
    agent_id=st.builds(AgentId, st.sampled_from("ab"), st.sampled_from(["1", "2", "3", None])),
    capabilities=st.lists(capabilities, min_size=2, max_size=4).map(tuple),
    load_factor=LOADS,
    availability=st.sampled_from([True, True, False]),
    degraded=st.sampled_from([False, False, True]),
)
DEMANDS: list[dict[str, Any]] = [
    *({"capability_type": kind} for kind in KINDS),
    {"min_version": "1.9.0"},
    {"min_version": "1.10.0", "max_version": "2.0.0"},
    {"max_version": "1.10.0"},
    {"required_tags": frozenset("b")},
    {"required_inputs": frozenset("bc")},
    {"require_available": False},
    {"include_degraded": True},
    {"require_available": False, "include_degraded": True},
    {"include_deprecated": True},
    {"max_load_factor": 0.3},
    {"max_load_factor": 1.0},
    {"min_score": 0.9},
    {"min_score": 0.4},
]


def criteria_of(name: str | None, preferred: str | None, slowest: float | None, demands: Any) -> MatchCriteria:
    fields = {"max_duration_ms": slowest, **{key: value for demand in demands for key, value in demand.items()}}
    return MatchCriteria(capability_name=name, preferred_version=preferred, **fields)


# Few demands at once: criteria that nothing meets would prove nothing.
some_criteria = st.builds(
    criteria_of,
    st.sampled_from([None, *NAMES, "t", "o", "x"]),
    st.sampled_from([None, "1.10.0", "2.0.0", "3.0.0"]),
    st.sampled_from([None, 50.0]),
    st.lists(st.sampled_from(DEMANDS), max_size=2),
)
COMPARED: tuple[Strategy, ...] = ("exact", "weighted", "priority")


class IndexMachine(RuleBasedStateMachine):
    """Whatever comes, goes and changes: the index finds what looking at everything finds."""

    def __init__(self) -> None:
        super().__init__()
        self.index = CapabilityIndex()
        self.matcher = Matcher(self.index)
        self.sets: dict[AgentId, CapabilitySet] = {}

    @rule(each=sets_of_one)
    def put(self, each: CapabilitySet) -> None:
        self.index.put(each)
        self.sets[each.agent_id] = each

    @rule(data=st.data(), load=LOADS, available=st.booleans(), degraded=st.booleans())
    def update(self, data: st.DataObject, load: float, available: bool, degraded: bool) -> None:
        if self.sets:
            id = data.draw(st.sampled_from(sorted(self.sets, key=str)))
            assert self.index.update(id, load, available=available, degraded=degraded)
            self.sets[id] = msgspec.structs.replace(
                self.sets[id], load_factor=load, availability=available, degraded=degraded
            )

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if self.sets:
            id = data.draw(st.sampled_from(sorted(self.sets, key=str)))
            assert self.index.remove(id)
            del self.sets[id]

    @rule(criteria=some_criteria, limit=st.integers(1, 12), strategy=st.sampled_from(COMPARED))
    def match(self, criteria: MatchCriteria, limit: int, strategy: Strategy) -> None:
        found = self.matcher.match(criteria, strategy, limit)
        assert told(found) == brute_force([*self.sets.values()], criteria, strategy, limit)

    @invariant()
    def it_knows_who_is_there(self) -> None:
        assert len(self.index) == len(self.sets)


IndexMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestIndexMachine = IndexMachine.TestCase


@settings(max_examples=300)
@given(
    st.lists(sets_of_one, min_size=4, max_size=8, unique_by=lambda each: each.agent_id),
    some_criteria,
    st.integers(1, 12),
    st.sampled_from(COMPARED),
)
def test_an_index_finds_what_looking_at_everything_finds(
    sets: list[CapabilitySet], criteria: MatchCriteria, limit: int, strategy: Strategy
) -> None:
    index = CapabilityIndex()
    for each in sets:
        index.put(each)
    assert told(Matcher(index).match(criteria, strategy, limit)) == brute_force(sets, criteria, strategy, limit)


@pytest.mark.parametrize("name", ["story", "t", "o", None])
@pytest.mark.parametrize("preferred", [None, "1.10.0"])
@pytest.mark.parametrize("limit", [1, 10, 1000])
def test_many_agents_of_many_names_come_in_one_order(name: str | None, preferred: str | None, limit: int) -> None:
    dice = random.Random(7)
    sets = [
        CapabilitySet(
            agent_id=AgentId("a", f"{number:03}"),
            capabilities=tuple(
                Capability(dice.choice(NAMES), version=dice.choice(VERSIONS), estimated_duration_ms=dice.randrange(100))
                for _ in range(4)
            ),
            load_factor=dice.randrange(20) / 20,
            availability=dice.random() > 0.1,
        )
        for number in range(150)
    ]
    index = CapabilityIndex()
    for each in sets:
        index.put(each)
    for demand in ({}, {"require_available": False}, {"max_duration_ms": 50}, {"min_version": "1.9.0"}):
        criteria = criteria_of(name, preferred, None, [demand])
        found = Matcher(index).match(criteria, "weighted", limit)
        assert told(found) == brute_force(sets, criteria, "weighted", limit)


@pytest.mark.parametrize("most", [*NO_COUNTS, 1001])
def test_a_number_of_results_that_is_none_is_a_mistake(most: int) -> None:
    with pytest.raises(ValueError, match="max_results"):
        DiscoveryRequest(max_results=most)
