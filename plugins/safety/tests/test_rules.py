from __future__ import annotations

import json
import re
from typing import get_args

import pytest

from tta_safety import KINDS
from tta_safety.layers import Layer, RulesError, expand, merged, read_layer
from tta_safety.rules import Kind

BELOW = """
parts:
  me: i|i'm
rules:
  - id: lost.lantern
    category: boundary
    patterns: ["\\\\b{me} lost (?:the|my) lantern"]
    match: [I lost my lantern]
    no_match: [the lantern is lost]
  - id: lost.floor
    category: boundary
    level: blocked
    floor: true
    sensitivity: 0.5
    patterns: [lost forever]
"""


OWN = (
    "layer 1: rule {}: has the category {!r}, which nobody defines: "
    "list it under `categories` if it is your own; did you mean {!r}?"
)


def layers(*texts: str) -> list[Layer]:
    return [read_layer(text, f"layer {number}") for number, text in enumerate(texts, 1)]


def problems(*texts: str) -> list[str]:
    with pytest.raises(RulesError) as caught:
        merged(layers(*texts))
    return [str(it) for it in caught.value.problems]


def test_an_upper_layer_says_only_what_differs() -> None:
    (upper, other) = merged(layers(BELOW, "rules: [{id: lost.lantern, level: blocked, priority: 5}]")).rules

    assert (upper.id, upper.level, upper.priority) == ("lost.lantern", "blocked", 5)
    assert upper.patterns == (r"\b(?:i|i'm) lost (?:the|my) lantern",)
    assert other.id == "lost.floor"


def test_a_set_is_named_by_what_it_says_and_not_by_who_says_it() -> None:
    one = merged(layers(BELOW))
    same = merged([read_layer(BELOW, "elsewhere")])
    other = merged(layers(BELOW, "rules: [{id: lost.lantern, version: 2}]"))

    assert one.digest == same.digest != other.digest


def test_an_upper_layers_parts_change_no_lower_layers_rule() -> None:
    found = merged(layers(BELOW, "parts: {me: nobody}"))

    assert {rule.patterns for rule in found.rules} == {rule.patterns for rule in merged(layers(BELOW)).rules}


@pytest.mark.parametrize(
    "change",
    ["enabled: false", "shadow: true", "level: warning", "patterns: [elsewhere]", "sensitivity: 0.1", "modifiers: []"],
)
def test_a_floor_rule_can_be_switched_off_by_no_layer(change: str) -> None:
    (problem,) = problems(BELOW, f"rules: [{{id: lost.floor, {change}}}]")

    assert problem.startswith("layer 2: rule lost.floor: is a floor rule")


def test_a_floor_rule_may_be_made_stricter() -> None:
    change = "rules: [{id: lost.floor, patterns: [lost forever, gone for good], sensitivity: 0.9, alternative: kind}]"

    found = {rule.id: rule for rule in merged(layers(BELOW, change)).rules}

    assert found["lost.floor"].patterns == ("lost forever", "gone for good")


def test_every_problem_is_named_at_once_by_layer_rule_and_reason() -> None:
    wrong = """
    rules:
      - {id: a.a, category: hate, patterns: ["{nobody} here"]}
      - {id: b.b, patterns: [abc]}
      - {id: c.c, category: hate, patterns: [abc], pririty: 3, level: awful, severity: 9}
      - {id: d.d, category: hate}
      - {id: e.e, category: suicde, patterns: [abc, ""]}
    """
    assert problems(wrong) == [
        "layer 1: rule a.a: pattern 1 names the part 'nobody', which nobody defines; known: none",
        "layer 1: rule b.b: has no category; give it one",
        "layer 1: rule c.c: has the unknown field pririty; did you mean 'priority'?",
        "layer 1: rule c.c: level: isn't allowed",
        "layer 1: rule c.c: severity: expected int <= 6",
        "layer 1: rule d.d: has no patterns",
        OWN.format("e.e", "suicde", "suicide"),
        "layer 1: rule e.e: patterns[1]: expected str of length >= 1",
    ]


def test_a_layer_may_have_categories_of_its_own_for_itself_and_those_above() -> None:
    (rule, other) = merged(
        layers(
            "{categories: [sea_sickness], rules: [{id: a, category: sea_sickness, patterns: [abc]}]}",
            "rules: [{id: b, category: sea_sickness, patterns: [abcd]}]",
        )
    ).rules

    assert rule.category == other.category == "sea_sickness"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rules: [", "cannot be read as YAML"),
        ("[]", "expected mapping, got list"),
        ("rules: [{category: x}]", "rule 1: has no id"),
        ("rules: [{id: a}, {id: a}]", "rule a: is there twice"),
        ("version: 2", "version: isn't allowed"),
        ("rules: &a [*a]", "aliases are refused"),
        ("x" * 4_000_001, "has more than 4,000,000 characters"),
    ],
)
def test_a_layer_that_is_no_layer_says_why(text: str, reason: str) -> None:
    with pytest.raises(RulesError, match=reason):
        read_layer(text, "rules.yaml")


def test_parts_that_name_each_other_end() -> None:
    with pytest.raises(ValueError, match=r"without end"):
        expand("{a}", {"a": "{b}", "b": "{a}"})


def test_the_kinds_that_rules_name_are_those_of_verdicts() -> None:
    assert get_args(Kind) == KINDS


def test_an_old_name_of_a_category_is_understood() -> None:
    (rule,) = merged(layers("rules: [{id: a, category: severe_depression, patterns: [abc]}]")).rules

    assert rule.category == "depression"


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_layer_is_refused_since_a_file_that_is_being_written_looks_so(text: str) -> None:
    assert ["is empty" in it and "rules: []" in it for it in problems(text)] == [True]
    assert not merged(layers("rules: []")).rules


def test_a_layer_of_json_is_read_as_the_same_in_yaml_would_be() -> None:
    rules = {
        "version": 1,
        "rules": [{"id": "a", "category": "toxicity", "patterns": ["caf\u00e9"], "sensitivity": 0.5}],
    }
    assert read_layer(json.dumps(rules), "x").rules == read_layer("# YAML\n" + json.dumps(rules), "x").rules


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"version": 1, "version": 1}', "the key 'version' is there twice"),
        ('{"rules": [{"id": "a", "patterns": ["\\ud800"]}]}', "x:1:40: cannot be read as YAML"),
        ('{"rules": [}', "cannot be read as YAML"),
        ("{" * 5000, "cannot be read as YAML"),
    ],
)
def test_what_json_does_not_say_is_told_as_of_yaml(text: str, what: str) -> None:
    with pytest.raises(RulesError, match=re.escape(what)):
        read_layer(text, "x")
