from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_agents import Capability
from tta_capabilities.versions import Constraint, verdicts, version

# As https://semver.org orders them, item 11, with numbers that strings would order otherwise.
ASCENDING = (
    "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
    "1.0.0", "1.2.0", "1.9.0", "1.10.0", "2.0.0", "2.1.0", "2.1.1", "10.0.0",
)  # fmt: skip


def test_precedence_is_that_of_semver() -> None:
    assert all(version(low) < version(high) for low, high in combinations(ASCENDING, 2))


def test_build_metadata_does_not_count() -> None:
    assert version("1.0.0+a") == version("1.0.0+b")
    assert version("1.0.0+a") in Constraint("==1.0.0")


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">=1.2,<2", "1.2.0 1.9.0 1.10.0 1.99.3", "1.1.9 2.0.0 1.2.0-rc.1 2.0.0-rc.1 1.5.0-rc.1"),
        (">1.2", "1.3.0 2.0.0", "1.2.0 1.2.9"),
        (">1.2.3", "1.2.4", "1.2.3"),
        ("<=1.2", "1.2.9 0.0.1", "1.3.0"),
        ("<=1.2.3", "1.2.3", "1.2.4"),
        ("<1.2", "1.1.9", "1.2.0 1.2.1"),
        ("1.2", "1.2.0 1.2.7", "1.1.9 1.3.0"),
        ("=1", "1.0.0 1.9.9", "0.9.9 2.0.0"),
        ("==1.2.3", "1.2.3 1.2.3+build.5", "1.2.4 1.2.3-rc.1"),
        ("!=1.2", "1.1.9 1.3.0", "1.2.0 1.2.5"),
        (">=1, !=1.9.0", "1.8.0 1.10.0", "1.9.0"),
        ("^1.2.3", "1.2.3 1.9.0", "1.2.2 2.0.0"),
        ("^0.2.3", "0.2.3 0.2.9", "0.3.0 1.0.0"),
        ("^0.0.3", "0.0.3", "0.0.4 0.1.0"),
        ("^0.2", "0.2.0 0.2.9", "0.3.0"),
        ("^0.0", "0.0.0 0.0.9", "0.1.0"),
        ("^0", "0.0.0 0.9.9", "1.0.0"),
        ("~1.2.3", "1.2.3 1.2.9", "1.2.2 1.3.0"),
        ("~1.2", "1.2.0 1.2.9", "1.3.0"),
        ("~1", "1.0.0 1.9.9", "2.0.0"),
        (">=2.0.0-rc.1,<2.1", "2.0.0-rc.1 2.0.0-rc.2 2.0.0", "2.0.0-beta 2.1.0-rc.1 2.0.1-rc.1"),
        ("", "1.0.0 1.0.0-rc.1", ""),
        ("*", "1.0.0 1.0.0-rc.1", ""),
    ],
)
def test_a_constraint_admits_what_it_says(text: str, inside: str, outside: str) -> None:
    constraint = Constraint(text)
    assert [v for v in inside.split() if version(v) not in constraint] == []
    assert [v for v in outside.split() if version(v) in constraint] == []


@pytest.mark.parametrize("text", ["latest", ">=", "1.2.3.400", ">=1,", "=>1", "1.x", ">=1.2 <2", ">=01.2", "1.2-rc.1"])
def test_what_is_no_constraint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"version|semver"):
        Constraint(text)


# `Capability` has its own grammar, so that whoever declares one needs no library.


@given(st.from_regex(r"(?a:[0-9a-z.+-]{0,12})", fullmatch=True) | st.from_regex(r"[0-9]{1,3}(\.[0-9a-z+-]{1,4}){2,4}"))
def test_each_version_that_a_capability_may_have_can_be_compared(text: str) -> None:
    try:
        Capability("story", version=text)
    except ValueError:
        with pytest.raises(ValueError, match=r"semver|SemVer"):
            version(text)
    else:
        assert str(version(text)) == text


@pytest.mark.parametrize("text", ["1.0.0\n", "1.٣.0", f"{'9' * 17}.0.0", "01.0.0", "1.0.0-01", "1.0.0-", "1.0.0+", ""])
def test_a_capability_has_no_version_that_others_might_read_otherwise(text: str) -> None:
    with pytest.raises(ValueError, match="semantic version"):
        Capability("story", version=text)


numbers = st.integers(0, 12)
releases = st.builds("{}.{}.{}".format, numbers, numbers, numbers)


@given(releases, releases, releases)
def test_a_range_admits_releases_by_their_numbers(low: str, high: str, found: str) -> None:
    def triple(text: str) -> list[int]:
        return [int(number) for number in text.split(".")]

    within = triple(low) <= triple(found) < triple(high)
    assert (version(found) in Constraint(f">={low},<{high}")) == within


def test_bounds_go_by_plain_precedence_and_a_preference_is_only_better() -> None:
    judge = verdicts("", "1.9.0", "2.0.0", "1.10.0")
    assert {v: judge[v] for v in ("1.8.9", "1.9.0", "1.10.0", "1.10.0+x", "2.0.0-rc.1", "2.0.0", "2.0.1")} == {
        "1.8.9": 0, "1.9.0": 1, "1.10.0": 2, "1.10.0+x": 2, "2.0.0-rc.1": 1, "2.0.0": 1, "2.0.1": 0,
    }  # fmt: skip
