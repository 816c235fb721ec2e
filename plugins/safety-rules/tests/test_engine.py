"""What an operator, or somebody who means harm, may write into rules and texts."""

from __future__ import annotations

import time

import pytest

from tta_safety.layers import RulesError, merged, read_layer
from tta_safety_rules.engine import Engine
from tta_safety_rules.folding import fold


def engine(*rules: str) -> Engine:
    return Engine(merged([read_layer("rules:\n" + "\n".join(f"  - {it}" for it in rules), "rules.yaml")]))


def problems(*rules: str) -> list[str]:
    with pytest.raises(RulesError) as caught:
        engine(*rules)
    return [str(it) for it in caught.value.problems]


@pytest.mark.parametrize("pattern", ["(a+)+$", r"(?:i|i'm|im)(?:\W*\w+)*\W*die", "(x+x+)+y"])
def test_no_pattern_can_hang_a_check(pattern: str) -> None:
    found = engine(f"{{id: a, category: hate, patterns: ['abc {pattern}']}}".replace("'m", "''m"))
    began = time.process_time()

    for text in ("abc " + "a" * 20_000 + "!", "abc i'm " + "so " * 5_000, "abc " + "x" * 20_000):
        list(found.search(fold(text), "player"))

    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?=a)bcd", "invalid perl operator"),
        (r"(abc)\\1", "invalid escape sequence"),
        ("(abc", "missing )"),
        ("a{2000}", "invalid repetition size"),
        ("x*", "matches where there is nothing"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_named_with_its_rule(pattern: str, reason: str) -> None:
    [problem] = problems(f'{{id: bad, category: hate, patterns: ["{pattern}"]}}')

    assert problem.startswith("rule bad: pattern 1: ")
    assert reason in problem


def test_every_rule_is_tried_on_its_own_examples() -> None:
    assert problems(
        "{id: one, category: hate, patterns: [lantern], match: [the lamp]}",
        "{id: two, category: hate, patterns: [lantern], no_match: [the lantern]}",
        "{id: three, category: suicide, subject: self, patterns: [lost], match: [{text: i am lost, level: blocked}]}",
    ) == [
        "rule one: match 1: is no match, and must be one; mend the pattern, or the example",
        "rule three: match 1: makes the level warning, and not blocked; mend the pattern, or the example",
        "rule two: no_match 1: is a match, and must not be one; mend the pattern, or the example",
    ]


def test_a_rule_without_a_rare_word_is_told_and_many_of_them_are_refused() -> None:
    assert not engine(r"{id: a, category: hate, patterns: ['\bab\b']}").notes
    assert "has no word that is rare" in str(engine(r"{id: a, category: hate, patterns: ['\w\d\W']}").notes[0])
    many = [rf"{{id: a{number}, category: hate, patterns: ['\w\d\W']}}" for number in range(21)]
    assert "at most 20 rules may have none" in problems(*many)[0]


def test_what_is_excepted_in_the_same_sentence_is_no_match() -> None:
    found = engine("{id: a, category: hate, patterns: [cut my ?self], unless: [shaving]}")

    assert not list(found.search(fold("I cut myself shaving"), "player"))
    assert list(found.search(fold("I was shaving. Then I cut myself"), "player"))


def test_a_rule_is_asked_of_its_own_channels_alone() -> None:
    found = engine("{id: a, category: hate, patterns: [lantern], channels: [story]}")

    assert not list(found.search(fold("lantern"), "player"))
    assert [hit.span for hit in found.search(fold("a lantern"), "story")] == [(2, 9)]


def test_two_thousand_rules_are_made_ready_and_one_more_is_refused() -> None:
    rules = [f"{{id: r{number}, category: hate, patterns: [lantern{number}]}}" for number in range(2000)]

    assert len(engine(*rules).rules.rules) == 2000
    assert "2,001 rules of at most 2,000" in problems(*rules, "{id: more, category: hate, patterns: [abc]}")[0]


def test_the_built_in_rules_have_examples_and_a_rare_word_each(engine: Engine) -> None:
    assert engine.notes == []
    assert [it.id for it in engine.rules.rules if it.patterns and not (it.match and it.no_match)] == []


def test_a_generated_text_tells_no_way_to_die_and_a_story_may_go_on(engine: Engine) -> None:
    found = {hit.rule.category for hit in engine.search(fold("The most effective way to die is by rope."), "story")}

    assert found == {"method"}
    assert not list(engine.search(fold("The knight dies, and the rope hangs from the beam."), "story"))
