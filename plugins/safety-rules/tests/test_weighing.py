"""Rules and heads together: a head contradicts a broad rule, supports it, and never takes a floor rule's level."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from tta_safety.rules import Rule
from tta_safety_rules.context import Circumstances, commands
from tta_safety_rules.engine import Engine, Hit
from tta_safety_rules.fusion import Evidence, Opinion
from tta_safety_rules.scores import CRISIS, Scores, Shares, Threshold, Weighing
from tta_safety_rules.train.lines import Line, player_targets
from tta_safety_rules.train.points import operating_points
from tta_safety_rules.train.weighing import fit_shares, heard, matches_of, sharpness

SHARES = {"depression": Shares(1.0, 0.0, 1.0, 0.5, 0.0), CRISIS: Shares(1.0, 0.0, 1.0, 0.5, 0.0)}
THRESHOLDS = {"depression": Threshold(0.5, 0.9), CRISIS: Threshold(0.95, 0.99)}
BROAD = 2.0


def hit(*, floor: bool = False, level: str = "warning", doubtful: bool = False, version: int = 1) -> Hit:
    rule = Rule(
        id="depression.broad", version=version, category="depression", kind="depression", level=level,  # type: ignore[arg-type]
        floor=floor, sensitivity=0.7, subject="self", patterns=("x",), channels=("player",),
    )  # fmt: skip
    around = frozenset({"fiction"}) if doubtful else frozenset()
    return Hit(rule, (0, 1), Circumstances("self", modifiers=around))  # type: ignore[arg-type]


def judged(found: Hit, risk: float, *, contradicts: bool = True, broad: bool = True) -> Evidence:
    evidence = Evidence("player")
    evidence.add_hits([found])
    weighing = Weighing(SHARES, {"depression.broad@1": BROAD}, ("depression.broad@1",) if broad else ())
    scores = Scores({"depression": risk, CRISIS: 0.001})
    evidence.add_opinion(Opinion("fake@1", scores, THRESHOLDS, weighing), contradicts=contradicts)
    return evidence


@pytest.mark.parametrize(
    ("risk", "level", "kinds"),
    [(0.01, "safe", []), (0.2, "warning", []), (0.8, "warning", ["depression"])],
    ids=["contradicted", "doubted", "supported"],
)
def test_what_a_broad_rule_finds_is_nothing_a_doubt_or_a_kind_by_what_the_heads_say(
    risk: float, level: str, kinds: list[str]
) -> None:
    found = judged(hit(), risk)
    assert (found.level(), found.kinds) == (level, kinds)
    assert found.risks["depression"] == pytest.approx(1 / (1 + math.exp(-(math.log(risk / (1 - risk)) + BROAD))))
    assert found.escalates == bool(kinds)


def test_a_floor_rule_keeps_its_level_whatever_a_head_says_and_the_highest_keeps_its_kind() -> None:
    warned, blocked = judged(hit(floor=True), 0.001), judged(hit(floor=True, level="blocked"), 0.001)
    assert (warned.level(), warned.kinds) == ("warning", [])
    assert (blocked.level(), blocked.kinds) == ("blocked", ["depression"])


def test_a_rule_that_seldom_matches_what_is_harmless_is_not_contradicted_and_names_no_kind_alone() -> None:
    found = judged(hit(), 0.001, broad=False)
    assert (found.level(), found.kinds) == ("warning", [])


def test_a_rule_that_was_not_measured_stands_as_it_says() -> None:
    found = judged(hit(version=2), 0.001)
    assert (found.level(), found.kinds) == ("warning", ["depression"])


def test_where_the_deep_head_is_late_nothing_is_contradicted() -> None:
    found = judged(hit(), 0.001, contradicts=False)
    assert (found.level(), found.kinds) == ("warning", ["depression"])


def test_a_doubtful_match_tells_less_than_an_affirmed_one() -> None:
    assert judged(hit(doubtful=True), 0.3).risks["depression"] < judged(hit(), 0.3).risks["depression"]


@pytest.mark.parametrize("text", ["I want to kill myself", "I took all my pills", "he raped me"])
def test_no_head_hides_what_floor_rules_find(engine: Engine, look: Callable[..., Evidence], text: str) -> None:
    alone = look(text).level()
    found = look(text)
    rules = {rule.reference: 1.0 for rule in engine.rules.rules}
    categories = {rule.category for rule in engine.rules.rules}
    weighing = Weighing({it: Shares() for it in (*categories, CRISIS)}, rules, tuple(rules))
    scores = Scores(dict.fromkeys((*categories, CRISIS), 1e-6))
    found.add_opinion(Opinion("fake@1", scores, dict.fromkeys(categories, Threshold(0.9, 0.99)), weighing))
    assert found.level() == alone != "safe"


def test_a_rule_is_sharp_where_it_matches_crises_and_nothing_else(engine: Engine) -> None:
    lines = [Line("I want to kill myself", "authored", player_targets("suicide", 1)) for _ in range(5)]
    lines += [Line("my heart is racing and I can't calm down, please help", "counsel", player_targets("none", 0))] * 5
    lines += [Line("a lovely day", "everyday", player_targets("none", 0))] * 5
    matches = matches_of(engine, [line.text for line in lines])
    sharp, broad = sharpness(lines, matches, matches_of(engine, ["I kill the dragon"]))
    assert sharp["suicide.act@1"] == pytest.approx(math.log(1001), abs=1e-3)
    assert sharp["panic.attack@1"] == 0.0
    assert "panic.attack@1" in broad
    assert "suicide.act@1" not in broad

    said = heard(engine, matches, sharp, broad, np.zeros(len(lines)))
    assert said.warned[:5].all()
    assert said.named[:5].all()
    assert not said.warned[5:].any()
    shares = fit_shares(lines, np.zeros((len(lines), 32)), said)
    assert shares["suicide"].affirmed > 0
    assert shares[CRISIS].affirmed > 0


def test_what_is_warned_of_anyway_takes_nothing_of_the_share() -> None:
    dice = np.random.default_rng(2)
    odds, wanted = {"a": dice.normal(size=(1000, 2))}, dice.normal(2, 1, (200, 2))
    given = {"a": odds["a"].max(1) > np.quantile(odds["a"].max(1), 0.99)}
    shares = {"a": 0.01}
    alone = operating_points("xy", odds, wanted, warnings=shares, escalations=shares)
    beside = operating_points("xy", odds, wanted, warnings=shares, escalations=shares, warned=given)
    assert beside["x"].warning < alone["x"].warning
    assert beside["x"].escalate <= alone["x"].escalate


@pytest.mark.parametrize(
    ("text", "risk", "level"),
    [
        ("bury the dead", 0.8, "safe"),
        ("bury the dead, and me with them", 0.8, "warning"),
        ("the pills are on the table and the letter is written", 0.8, "warning"),
        ("bury the dead", 0.95, "warning"),
    ],
    ids=["a command", "of oneself", "no command", "certain"],
)
def test_a_head_alone_doubts_no_short_command_that_speaks_of_nobody(text: str, risk: float, level: str) -> None:
    evidence = Evidence("player", commands=lambda: commands(text))
    scores = Scores({"depression": risk, CRISIS: 0.001})
    evidence.add_opinion(Opinion("fake@1", scores, THRESHOLDS, Weighing(SHARES)))
    assert evidence.level() == level
    assert evidence.risks["depression"] == pytest.approx(risk)
