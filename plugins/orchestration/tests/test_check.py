"""What `tta check` finds in the workflow of a turn, before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tta_kernel import ConfigError
from tta_orchestration.testing import STORY, TURN, Check, telling
from tta_safety import About, Channel, Verdict


def safe(text: str, channel: Channel, about: About) -> Verdict:
    return Verdict("checked", "safe")


def objections(turn: Mapping[str, Any] = TURN, workflow: str = "turn") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        telling(safe, turn=turn, workflow=workflow).check()
    return [str(problem) for problem in caught.value.problems if problem.where.startswith("plugins.")]


def told(input: Mapping[str, str], **output: str) -> Mapping[str, Any]:
    return {"steps": [{**STORY, "input": input}], "output": {**TURN["output"], **output}}  # type: ignore[dict-item]


AT = "plugins.workflows.config.workflows.turn"
TEXTS = "input.text, input.summary, input.tone"


@pytest.mark.parametrize(
    ("input", "objection"),
    [
        ({"text": "input.txt"}, "text: 'orchestration' gives no 'txt'; did you mean 'text'?"),
        ({"text": "input.seed"}, f"text: input.seed is int, and 'teller' takes str; what would fit: {TEXTS}"),
        ({"text": "input.world"}, f"text: input.world is dict, and 'teller' takes str; what would fit: {TEXTS}"),
        ({"text": "input.text.loud"}, "text: 'input.text.loud': there is no 'loud' in 'text'; known: none"),
    ],
)
def test_an_input_that_a_turn_does_not_give_is_a_problem(input: Mapping[str, str], objection: str) -> None:
    assert objections(told(input)) == [f"{AT}.steps.story.input.{objection}"]


def test_a_missing_input_is_suggested_from_what_a_turn_gives() -> None:
    ways = " or ".join(f"`text: {text}`" for text in TEXTS.split(", "))
    assert objections(told({})) == [f"{AT}.steps.story.input: 'teller' needs 'text'; add {ways}"]


@pytest.mark.parametrize(
    ("output", "what", "hint"),
    [
        (
            {"text": "steps.story.world"},
            "text: steps.story.world is dict, and 'orchestration' takes str",
            "what would fit: steps.story.text, input.text, input.summary",
        ),
        (
            {"world": "input.turn"},
            "world: input.turn is int, and 'orchestration' takes dict",
            "what would fit: steps.story.world, input.profile, input.memory",
        ),
        (
            {"world": "input.world"},
            "world: input.world may be None, and is left out then, but 'orchestration' always needs 'world'",
            "what would fit: steps.story.world, input.profile, input.memory",
        ),
        ({"mood": "steps.story.text"}, "mood: 'orchestration' takes no 'mood'", "known: memory, route, text, world"),
    ],
)
def test_an_output_that_a_turn_cannot_use_is_a_problem(output: Mapping[str, str], what: str, hint: str) -> None:
    assert objections(told({"text": "input.text"}, **output)) == [f"{AT}.output.{what}; {hint}"]


def test_a_workflow_without_an_output_is_no_turn() -> None:
    texts = "`text: steps.story.text` or `text: input.text` or `text: input.summary`"
    worlds = "`world: steps.story.world` or `world: input.profile` or `world: input.memory`"
    assert objections({"steps": [STORY]}) == [
        f"{AT}.output: 'orchestration' needs 'text'; add {texts}",
        f"{AT}.output: 'orchestration' needs 'world'; add {worlds}",
    ]


def test_a_misspelt_workflow_is_a_problem_before_anything_starts() -> None:
    assert objections(workflow="trun") == [
        "plugins.orchestration.config.workflow: no workflow is called 'trun'; did you mean 'turn'?"
    ]


@pytest.mark.parametrize(
    ("checkers", "allowed", "problems"),
    [((), False, 1), ((), True, 0), ((safe,), False, 0)],
    ids=["none", "allowed", "one"],
)
def test_a_deployment_in_which_nobody_checks_text_is_objected_to(
    checkers: Sequence[Check], allowed: bool, problems: int
) -> None:
    wiring = telling(*checkers, allow_unchecked=allowed).wiring
    wiring.check()
    assert ["checks text" in problem.what for problem in wiring.problems] == [True] * problems
