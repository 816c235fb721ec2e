"""What a session holds beside its story: what is damaged has its default, and all of it is bounded."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tta_sessions import Page, Profile, Session, Summary, ToSummarise, profile_of, summary_of
from tta_sessions.context import LONGEST_VALUE, MOST, memory_of, remembered
from tta_sessions.conversation import by_rules

ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(ANY, ANY, ANY)
def test_whatever_lies_in_a_session_there_is_a_profile_and_what_is_whole_of_it_counts(
    profile: Any, summary: Any, memory: Any
) -> None:
    context = {"profile": {"goals": profile, "pace": "slow"}, "summary": summary, "memory": memory}
    session = Session("s", context=context)
    assert profile_of(session).pace == "slow"
    assert isinstance(profile_of(session).goals, tuple)
    assert isinstance(summary_of(session), Summary)
    assert len(memory_of(session)) <= MOST
    assert profile_of(Session("s", context={"profile": profile})) is not None


@given(st.dictionaries(st.text(max_size=70), ANY, max_size=100), st.dictionaries(st.text(max_size=70), ANY))
def test_a_memory_is_bounded_and_what_is_new_in_it_stays(before: dict[str, Any], changes: dict[str, Any]) -> None:
    known, _ = remembered({}, before)
    after, refused = remembered(known, changes)
    assert len(after) <= MOST
    kept = [name for name, value in changes.items() if name not in refused and value is not None]
    assert set(kept[-MOST:]) <= after.keys()
    assert not {name for name, value in changes.items() if value is None} & after.keys()


def test_what_is_too_long_to_be_remembered_is_named() -> None:
    assert remembered({"a": 1}, {"b": "x" * LONGEST_VALUE, "a": None, 3: 4}) == ({}, ("b", "3"))  # type: ignore[dict-item]


def test_a_summary_by_rules_says_of_each_page_what_was_said_and_how_its_telling_began() -> None:
    pages = (Page(3, "go  to the\npier", "You walk out. The sea is calm.", "story"), Page(4, "wait", "", "failed"))
    said = by_rules(ToSummarise("s", "u", "2. “look” — A coast.", pages))
    assert said == "2. “look” — A coast.\n3. “go to the pier” — You walk out.\n4. “wait” — "


@given(st.lists(st.text(), max_size=30), st.text(), st.integers(0, 300))
def test_a_summary_by_rules_is_never_too_long_and_drops_what_is_oldest(
    texts: list[str], so_far: str, most: int
) -> None:
    pages = tuple(Page(number, text, text) for number, text in enumerate(texts, 1))
    whole = by_rules(ToSummarise("s", "u", so_far, pages, most=10**6))
    bounded = by_rules(ToSummarise("s", "u", so_far, pages, most=most))
    assert len(bounded) <= most
    assert whole.endswith(bounded)


def test_defaults_are_those_of_a_person_of_whom_nothing_is_known() -> None:
    assert profile_of(None) == profile_of(Session("s")) == Profile()
