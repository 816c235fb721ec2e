"""How serious a crisis is: a table, and what must hold for whatever a check finds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tta_crisis import LEVELS, TABLE, assess
from tta_safety import KINDS, Finding, Verdict


def finding(kind: str = "suicide", severity: int = 0, **more: Any) -> Finding:
    return Finding(rule=f"{kind}@1", category=kind, level="blocked", severity=severity, **{"subject": "self", **more})


def verdict(*findings: Finding, flags: tuple[str, ...] = ()) -> Verdict:
    kinds = tuple(sorted({each.category for each in findings if each.category in KINDS}))
    return Verdict("checked", "blocked", 0.9, kinds, findings=findings, flags=flags)


@pytest.mark.parametrize(
    ("found", "level"),
    [
        ({"severity": 1}, "low"),
        ({"severity": 1, "temporality": "imminent"}, "moderate"),
        ({"severity": 2}, "moderate"),
        ({"severity": 3}, "moderate"),
        ({"severity": 3, "temporality": "imminent"}, "high"),
        ({"severity": 4}, "high"),
        ({"severity": 4, "temporality": "imminent"}, "critical"),
        ({"severity": 5}, "critical"),
        ({"severity": 6, "temporality": "recent"}, "critical"),
        ({"severity": 6, "temporality": "past"}, "moderate"),
        ({"severity": 6, "polarity": "negated"}, "moderate"),
        ({"severity": 6, "subject": "other"}, "moderate"),
        ({}, "moderate"),
    ],
)
def test_a_disclosure_of_suicide_has_the_level_of_its_cue_and_its_time(found: dict[str, Any], level: str) -> None:
    assert assess(verdict(finding(**found)), "suicide").level == level


@pytest.mark.parametrize(
    ("kind", "severity", "level"),
    [
        ("self_harm", 6, "critical"),
        ("substance", 6, "critical"),
        ("violence", 5, "critical"),
        ("abuse", 1, "moderate"),
        ("psychosis", 4, "high"),
        ("eating_disorder", 6, "high"),
        ("panic", 1, "low"),
        ("depression", 2, "moderate"),
    ],
)
def test_each_kind_has_a_row_of_its_own(kind: str, severity: int, level: str) -> None:
    assert assess(verdict(finding(kind, severity)), kind).level == level


def test_the_table_has_all_kinds_and_all_cues_and_goes_up_with_them() -> None:
    assert tuple(TABLE) == KINDS
    for kind, row in TABLE.items():
        assert [*row[1:]] == sorted(row[1:]), kind
        assert row[3] >= row[0] >= row[1], kind


def test_a_cue_says_what_it_holds() -> None:
    found = assess(verdict(finding(severity=4, temporality="imminent")), "suicide")
    assert (found.ideation, found.means, found.intent, found.plan, found.behaviour) == (True, True, True, False, False)
    assert (found.imminent, found.severity, found.rules, found.immediate) == (True, 4, ("suicide@1",), True)


def test_what_speaks_for_safety_counts_only_where_little_speaks_against_it() -> None:
    safe = ("protective:reasons-to-live",)
    assert assess(verdict(finding(severity=3), flags=safe), "suicide").level == "low"
    assert assess(verdict(finding(severity=4), flags=safe), "suicide").level == "high"
    assert assess(verdict(finding(severity=3, temporality="imminent"), flags=safe), "suicide").level == "high"
    assert assess(verdict(finding("abuse", 3), flags=safe), "abuse").level == "moderate"


def test_an_earlier_one_raises_the_level_but_not_to_critical() -> None:
    assert assess(verdict(finding(severity=1)), "suicide", earlier=1).level == "moderate"
    assert assess(verdict(finding(severity=4)), "suicide", earlier=3).level == "high"


def test_abuse_of_a_minor_is_high_at_least() -> None:
    assert assess(verdict(finding("abuse", 1)), "abuse", age_band="child").level == "high"


FINDINGS = st.builds(
    finding,
    kind=st.sampled_from(KINDS),
    severity=st.integers(0, 6),
    subject=st.sampled_from(["self", "other", "general", "fictional", "unknown"]),
    polarity=st.sampled_from(["affirmed", "negated", "possible"]),
    temporality=st.sampled_from(["present", "imminent", "recent", "past", "hypothetical"]),
)
OWN = st.builds(finding, kind=st.just("suicide"), severity=st.integers(1, 6), temporality=st.just("present"))


def rank(found: Verdict, kind: str, **more: Any) -> int:
    return LEVELS.index(assess(found, kind, **more).level)


@given(st.lists(FINDINGS, max_size=5), OWN, st.sampled_from(KINDS), st.integers(0, 3))
def test_another_finding_never_makes_it_less_serious(
    found: list[Finding], more: Finding, kind: str, earlier: int
) -> None:
    before = [*found, finding(kind, 1)]  # Without any cue of its own a kind counts as one that isn't known.
    after = [*before, replace(more, category=kind)]
    assert rank(verdict(*after), kind, earlier=earlier) >= rank(verdict(*before), kind, earlier=earlier)


@given(st.lists(FINDINGS, max_size=4), FINDINGS, st.integers(0, 3))
def test_tonight_never_makes_it_less_serious(found: list[Finding], one: Finding, earlier: int) -> None:
    now = replace(one, temporality="imminent")
    kind = one.category
    assert rank(verdict(*found, now), kind, earlier=earlier) >= rank(verdict(*found, one), kind, earlier=earlier)


@given(FINDINGS, st.integers(3, 6), st.integers(0, 3))
def test_means_and_whatever_comes_after_never_make_it_less_serious(one: Finding, severity: int, earlier: int) -> None:
    more = replace(one, severity=max(one.severity, severity))
    kind = one.category
    assert rank(verdict(more), kind, earlier=earlier) >= rank(verdict(one), kind, earlier=earlier)


@given(st.lists(FINDINGS, max_size=5), st.sampled_from(KINDS), st.integers(0, 3))
def test_an_earlier_intervention_never_makes_it_less_serious(found: list[Finding], kind: str, earlier: int) -> None:
    assert rank(verdict(*found), kind, earlier=earlier + 1) >= rank(verdict(*found), kind, earlier=earlier)
