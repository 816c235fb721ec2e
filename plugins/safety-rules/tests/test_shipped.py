"""What is shipped with the built-in rules is what they say, and a process that has it needn't find it out."""

from __future__ import annotations

from importlib.resources import files

import msgspec
import pytest

from tta_safety.layers import RulesError, merged, read_layer
from tta_safety_rules.builtin import built_in
from tta_safety_rules.engine import Engine, spaced
from tta_safety_rules.phrases import needs_of
from tta_safety_rules.ready import made
from tta_safety_rules.shipped import FILE, NOTHING, Shipped, read_shipped


def test_the_file_is_that_of_these_rules_and_their_examples_are_good() -> None:
    there = files("tta_safety_rules").joinpath(FILE).read_bytes()
    # Not by `==`, whose report would show both.
    assert len({there, made()}) == 1, "the rules have changed: python -m tta_safety_rules.ready"


def test_built_in_rules_that_were_shipped_are_not_computed() -> None:
    shipped = read_shipped()
    rules = merged(built_in())
    assert shipped.tried == rules.digest
    patterns = {spaced(it) for rule in rules.rules for it in rule.patterns}
    assert len(shipped.needs) == len(patterns)
    some = sorted(patterns)[:: len(patterns) // 20]
    assert [shipped.needs_of(it) for it in some] == [needs_of(it) for it in some]


def test_a_pattern_that_was_not_shipped_is_computed() -> None:
    assert read_shipped().needs_of("purple lantern") == needs_of("purple lantern")


WRONG = """
rules:
  - {id: house.lantern, category: boundary, level: warning, patterns: [purple lantern], match: [a green lantern]}
"""


def test_rules_are_tried_unless_they_are_those_that_were_tried() -> None:
    rules = merged([read_layer(WRONG, "rules.yaml")])
    for other in (NOTHING, Shipped("another"), msgspec.structs.replace(read_shipped(), needs={})):
        with pytest.raises(RulesError, match="is no match, and must be one"):
            Engine(rules, shipped=other)
    assert Engine(rules, shipped=Shipped(rules.digest)).rules is rules
