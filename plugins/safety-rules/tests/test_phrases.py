"""No match is lost: whatever pattern matches a text is among the candidates that its phrases name."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import re2  # type: ignore[import-untyped]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tta_safety.layers import merged
from tta_safety_rules.automata import Patterns, view
from tta_safety_rules.builtin import built_in
from tta_safety_rules.engine import spaced
from tta_safety_rules.folding import fold
from tta_safety_rules.phrases import PhraseIndex, needs_of, words_of

BUILT_IN = sorted({spaced(it) for rule in merged(built_in()).rules for it in rule.patterns})
TRAIN = Path(__file__).parent.parent / "data" / "train"


@pytest.fixture(scope="module")
def patterns() -> Patterns:
    made = Patterns()
    for pattern in BUILT_IN:
        made.add(pattern)
    made.compile()
    return made


def lines(every: int) -> Iterator[str]:
    """Yield some of the lines that were written to learn from, as they are and cut anywhere."""
    for path in sorted(TRAIN.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            if number % every == 0:
                text = str(json.loads(line).get("text") or "")
                yield text
                yield text[number % 7 : -(number % 5) - 1]


def lost(patterns: Patterns, text: str) -> list[str]:
    """Return the patterns that match a text and are no candidates."""
    piece = view(text)
    candidates = set(patterns.candidates(piece))
    left = (it for it in enumerate(BUILT_IN) if it[0] not in candidates)
    return [pattern for number, pattern in left if next(patterns.spans(number, piece), None)]


def test_no_match_of_the_built_in_rules_is_lost_in_lines_that_were_written(patterns: Patterns) -> None:
    assert [pattern for text in lines(60) for pattern in lost(patterns, fold(text).text)] == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(st.data())
def test_no_match_of_the_built_in_rules_is_lost_in_texts_made_to_match(patterns: Patterns, data: st.DataObject) -> None:
    pattern = data.draw(st.sampled_from(BUILT_IN))
    text = data.draw(st.from_regex(re.compile(pattern, re.ASCII)))
    assert lost(patterns, text.lower()) == []


LEAVES = st.sampled_from(
    ["a", "b", "ab", "aab", " ", "-", "é", "й", "_", "7", ".", r"\b", r"\w", r"\W", r"\s", "^", "$", "[ab]", "[^a]",
     "[a-c]", r"[\W_]", "[[:alpha:]]", r"\x61", r"\pL", r"\.", "A"]
)  # fmt: skip
PATTERNS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=4).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda them: f"(?:{'|'.join(them)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,3}", "??"])).map(
            lambda it: f"(?:{it[0]}){it[1]}"
        ),
        inner.map(lambda it: f"(?i:{it})"),
        inner.map(lambda it: f"(?P<name>{it})" if "name" not in it else it),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(PATTERNS, st.lists(st.text("abé7 -_йc.\n", max_size=12), min_size=1, max_size=5))
def test_no_match_of_any_pattern_is_lost(pattern: str, texts: list[str]) -> None:
    try:
        compiled = re2.compile(pattern)
    except re2.error:
        return
    index = PhraseIndex([needs_of(pattern)])
    for text in texts:
        assert not compiled.search(text) or index.candidates(words_of(text.encode()))


def test_a_pattern_asks_for_its_rarest_phrase_and_what_follows_it() -> None:
    index = PhraseIndex(
        [needs_of(spaced(r"\bi want to (?:\w+ )?(?:die|end it)\b")), needs_of("lantern"), needs_of(r"\W")]
    )
    assert index.candidates(words_of(b"i want to really die")) == [0, 2]
    assert index.candidates(words_of(b"they die, and i want to live")) == [2]
    assert index.candidates(words_of(b"the lanterns")) == [1, 2]


def test_what_is_known_of_patterns_is_nothing_that_the_garbage_collector_looks_at() -> None:
    needs = needs_of(spaced(r"\bi want to (?:\w+ )?(?:die|end it)\b"))
    assert needs.ways
    assert not any(map(gc.is_tracked, (needs, *needs.ways)))
