"""What `tta check` says of definitions: all of it at once, with the step and the key, and the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from tta_agents import AgentSpec
from tta_workflows import Workflow, WorkflowUse
from tta_workflows.check import problems
from tta_workflows.testing import workflow


class Ask(msgspec.Struct, frozen=True):
    text: str
    more: str = ""


class Answer(msgspec.Struct, frozen=True):
    text: str
    length: int = 0
    tail: str | None = None


class Told(msgspec.Struct, frozen=True):
    text: str


AGENTS = {"join": AgentSpec("join", "joins", Ask, Answer), "undo": AgentSpec("undo", "takes back", Told, Told)}
AT = "plugins.workflows.config.workflows.w."


def step(id: str = "a", **values: Any) -> dict[str, Any]:
    return {"id": id, "agent": "join", "input": {"text": "input.text"}, **values}


def bare(id: str, **values: Any) -> dict[str, Any]:
    return {"id": id, **values}


def found(
    *steps: Mapping[str, Any], others: Mapping[str, Workflow] | None = None, types: Any = None,
    use: WorkflowUse | None = None, only: Sequence[str] = ("w",), **more: Any,
) -> list[str]:  # fmt: skip
    definitions = {"w": workflow(*steps, **more), **(others or {})}
    uses = {"user": [use]} if use else None
    said = problems(definitions, AGENTS, uses, types=types, only=only)
    return [str(each).removeprefix(AT) for each in said]


def test_what_is_right_is_no_problem() -> None:
    undo = {"agent": "undo", "input": {"text": "input.text"}}
    steps = (
        step("a", timeout=5, retry={"attempts": 3}, undo=undo),
        step("b", needs=["a"], when="steps.a.length > 3", on_error="skip-on-error"),
        step("c", needs=["a", "b?"], input={"text": "steps.a.text", "more": "steps.b.text"}),
        bare("d", signal="yes", needs=["c"], response={"type": "object", "properties": {"ok": {"type": "boolean"}}}),
        bare("e", wait=3, needs=["d"], when="steps.d.ok"),
    )
    assert found(*steps, output={"text": "steps.c.text"}, savepoints=["a"], on_failure="a") == []


NEEDS = "steps.a.needs: "


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ([step(needs=["b"])], f"{NEEDS}no step is called 'b'; known: a"),
        ([step(needs=["c"]), step("b"), step("c", needs=["b"])], f"{NEEDS}they need each other: a → c → b → a; take"),
        ([step(needs=["a?"])], f"{NEEDS}they need each other: a → a"),
        ([step("A B")], "steps.A B: 'A B' is no id; use letters"),
        ([bare("a")], "steps.a: it says nothing that is to be done; give it exactly one of agent, capability"),
        ([step(signal="x")], "steps.a: it has agent and signal; give it exactly one of"),
        ([bare("a", wait=3, timeout=1)], "steps.a.timeout: a step that has 'wait' takes no 'timeout'"),
        ([bare("a", signal="x", retry={})], "steps.a.retry: a step that has 'signal' takes no 'retry'"),
        ([bare("a", workflow="v")], "steps.a.workflow: no workflow is called 'v'; "),
        ([bare("a", workflow="w")], "steps: it runs within itself: w → w"),
    ],
)  # fmt: skip
def test_the_form_of_a_definition(steps: list[Any], problem: str) -> None:
    assert found(*steps)[0].startswith(problem)


@pytest.mark.parametrize(
    ("when", "problem"),
    [
        ("1 +", "'1 +' is no expression"),
        ("open('x')", "\"open('x')\": "),
        ("text == 1", "a path begins with input.… or steps.…, and not with 'text'"),
        ("steps.b.text", "no earlier step is called 'b'; let 'a' need it: add it to its `needs`"),
        ("steps.z.text", "no earlier step is called 'z'; known: x"),
        ("steps.x.lenght > 1", "'join' answers no 'lenght'; did you mean 'length'?"),
        ("steps.x.text.size", "'steps.x.text.size': there is no 'size' in 'text'"),
        ("output.text", "a path begins with input.… or steps.…, and not with 'output'"),
    ],
)
def test_a_condition_says_what_it_reads(when: str, problem: str) -> None:
    (said,) = found(step("x"), step("a", needs=["x"], when=when), step("b", needs=["x"]))
    assert said.startswith("steps.a.when: ")
    assert problem in said


def test_what_a_repeated_step_gives_is_read_by_its_end_and_its_next_round() -> None:
    again = {"until": "output.length > 3", "most": 3}
    assert found(step(repeat=again, input={"text": "input.text", "more": "steps.a.text"})) == []
    (said,) = found(step(repeat={"until": "output.lengh > 3", "most": 3}))
    assert said == "steps.a.repeat.until: 'join' answers no 'lengh'; did you mean 'length'?"
    (said,) = found(step(repeat=again, input={"text": "steps.a.text"}))
    assert said.startswith("steps.a.input.text: steps.a.text may be None, and is left out then, but 'join' always")


@pytest.mark.parametrize(
    ("needs", "more", "right"),
    [
        (["a"], {"when": "input.x"}, True),
        (["a?"], {"when": "input.x"}, False),
        (["a?"], {}, True),
        (["a?"], {"on_error": "skip-on-error"}, False),
        (["a?"], {"on_error": "skip-on-error", "fallback": {"text": ""}}, True),
        (["b"], {"when": "input.x"}, True),
        (["b?"], {"when": "input.x"}, False),
    ],
)
def test_a_step_that_may_be_skipped_gives_nothing_to_one_that_runs_all_the_same(
    needs: list[str], more: Any, *, right: bool
) -> None:
    said = found(step("a", **more), step("b"), step("c", needs=needs, input={"text": "steps.a.text"}))
    assert (said == []) is right
    if not right:
        assert said[0].startswith("steps.c.input.text: step 'a' may be skipped: steps.a.text isn't there then, and is")
        assert "'join' always needs 'text'" in said[0]


def test_what_a_run_returns_may_not_come_of_a_step_that_may_be_skipped() -> None:
    use = WorkflowUse("w", Told, Told)
    assert found(step(when="input.text"), output={"text": "steps.a.text"}, use=use)[0].startswith(
        "output.text: step 'a' may be skipped"
    )
    assert found(step(), output={"text": "steps.a.text"}, use=use) == []


def test_of_several_paths_each_must_lead_somewhere_and_fit_and_may_be_missing() -> None:
    use = WorkflowUse("w", Told, Told)
    steps = (step("a", when="input.text"), step("b", needs=[], when="not input.text"))

    def said(path: str) -> list[str]:
        return found(*steps, output={"text": path}, use=use)

    assert said("steps.a.text or steps.b.text") == []
    assert said("steps.a.text or steps.c.text")[0].startswith("output.text: no earlier step is called 'c'")
    assert said("steps.a.text or steps.b.length")[0].startswith("output.text: steps.b.length is int")
    assert said("steps.a.text or ")[0].startswith("output.text: '' is no path")


@pytest.mark.parametrize("chosen", ["1", "2"])
def test_the_types_of_several_paths_go_on_to_whoever_reads_the_workflow_within(chosen: str) -> None:
    fields = {"1": "text", "2": "length"}
    inner = workflow(
        step("a", when="input.text"), step("b", needs=[], when="not input.text"),
        output={"text": f"steps.a.text or steps.b.{fields[chosen]}"},
    )  # fmt: skip
    within = bare("in", workflow="inner", input={"text": "input.text"})
    said = found(within, step("c", input={"text": "steps.in.text"}), others={"inner": inner})
    assert (said == []) is (chosen == "1")


@pytest.mark.parametrize(
    ("fallback", "problem"),
    [
        ({"text": "", "length": 3}, ""),
        ({"length": 3}, "steps.a.fallback: has no 'text', which "),
        ({"text": 3}, "steps.a.fallback.text: doesn't fit "),
        ({"text": "", "tail": None}, ""),
    ],
)
def test_a_fallback_fits_what_reads_it(fallback: Any, problem: str) -> None:
    reads = step("b", input={"text": "steps.a.text", "more": "steps.a.tail"})
    said = found(step(fallback=fallback), reads)
    assert (said == []) is (not problem)
    assert not problem or said[0].startswith(problem)


def test_a_fallback_fits_the_steps_own_response() -> None:
    schema = {"type": "object", "required": ["text"]}
    (said,) = found(step(fallback={}, response=schema))
    assert said == "steps.a.fallback: doesn't fit the step's own response: $ breaks 'required'"


def test_an_undo_reads_what_may_not_be_there() -> None:
    def undone(path: str, agent: str = "undo") -> list[str]:
        return found(step(undo={"agent": agent, "input": {"text": path}}))

    assert undone("input.text") == []
    assert undone("output.text")[0].startswith(
        "steps.a.undo.input.text: output.text isn't there where the step began and was never done, and is left out"
    )
    assert undone("output.txt")[0].startswith("steps.a.undo.input.text: 'join' answers no 'txt'")
    assert undone("input.text", "undoo") == [
        "steps.a.undo.agent: no enabled plugin declares the agent 'undoo'; did you mean 'undo'?"
    ]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"savepoints": ["b"]}, "savepoints: no step is called 'b'; known: a"),
        ({"on_failure": "a"}, "on_failure: 'a' is neither 'undo' nor 'keep', nor one of the savepoints"),
        ({"takes": {"type": "objekt"}}, "takes: is no JSON Schema: $.type"),
        ({"takes": {"$ref": "https://example.org/x"}}, "takes: is no JSON Schema: there is nothing at 'https:"),
        ({"takes": {"properties": {"a": {"$ref": "#/$defs/b"}}}}, "takes: is no JSON Schema: there is nothing at '#/"),
        ({"takes": {"properties": {"a": {"pattern": "("}}}}, "takes: is no JSON Schema: $.properties.a.pattern: "),
        ({"takes": {"$ref": "#"}}, "takes: is no JSON Schema: it refers to itself without end"),
    ],
)
def test_what_is_said_of_the_whole(more: Any, problem: str) -> None:
    (said,) = found(step(), **more)
    assert said.startswith(problem)


def test_a_response_that_is_no_schema() -> None:
    (said,) = found(step(response={"required": 3}))
    assert said.startswith("steps.a.response: is no JSON Schema: $.required")


@pytest.mark.parametrize(
    ("steps", "timeout", "told"),
    [
        ([step(timeout=10), step("b", timeout=21)], 30, "a run has 30 s, and its steps may take 31 s: a 10 s, b 21 s"),
        ([step(timeout=10), step("b", timeout=25, needs=[])], 30, ""),
        ([step(timeout=10, retry={"attempts": 3, "delay": 1})], 32, "may take 33 s: a 3 × 10 s + 3 s; give it more"),
        ([step(timeout=10, on_error="retry")], 30, "may take 30.6 s: a 3 × 10 s + 0.6 s"),
        ([step(timeout=10, repeat={"until": "output.length", "most": 4})], 30, "may take 40 s: a 4 × (10 s)"),
        ([bare("a", wait=31)], 30, "may take 31 s: a 31 s"),
        ([bare("a", signal="x", timeout=31)], 30, "may take 31 s: a 31 s"),
        ([bare("a", workflow="v")], 30, "may take 40 s: a 40 s"),
        ([step()], 0.1, ""),
    ],
)  # fmt: skip
def test_a_time_budget_that_cannot_hold_says_the_figures(steps: list[Any], timeout: float, told: str) -> None:
    others = {"v": workflow(bare("x", wait=20), bare("y", wait=20))}
    said = found(*steps, timeout=timeout, others=others)
    assert (said == []) is (not told)
    assert not told or (said[0].startswith("timeout: ") and told in said[0])


INNER = workflow(step("x"), output={"text": "steps.x.text", "size": "steps.x.length"})


def test_an_inner_workflow_is_given_what_it_reads_and_gives_what_it_returns() -> None:
    def outer(given: Mapping[str, str], reads: str = "steps.tell.text", **more: Any) -> list[str]:
        inner = msgspec.structs.replace(INNER, **more)
        steps = (bare("tell", workflow="v", input=given), step("b", input={"text": reads}))
        return found(*steps, others={"v": inner})

    assert outer({"text": "input.text"}) == []
    (said,) = outer({"txt": "input.text"})
    assert said.startswith("plugins.workflows.config.workflows.v.steps.x.input.text: ")
    assert said.endswith("gives no 'text'; did you mean 'txt'?")
    assert outer({"text": "input.text"}, "steps.tell.txt") == [
        "steps.b.input.text: 'v' answers no 'txt'; did you mean 'text'?"
    ]
    assert outer({"text": "input.text"}, "steps.tell.size")[0].startswith(
        "steps.b.input.text: steps.tell.size is int, and 'join' takes str; what would fit: steps.tell.text"
    )
    takes = {"type": "object", "properties": {"text": {"type": "integer"}, "more": {}}, "required": ["text", "more"]}
    assert outer({"text": "input.text"}, takes=takes) == ["steps.tell.input: 'v' needs 'more'; add `more: input.more`"]


def test_an_inner_workflow_is_held_against_the_types_that_it_is_given() -> None:
    inner = workflow(step("x", input={"text": "input.length"}))
    steps = (step("a"), bare("tell", workflow="v", input={"length": "steps.a.length"}))
    (said,) = found(*steps, others={"v": inner})
    assert said.startswith("plugins.workflows.config.workflows.v.steps.x.input.text: input.length is int, and 'join'")


def test_workflows_that_run_each_other_are_named() -> None:
    others = {"v": workflow(bare("x", workflow="u")), "u": workflow(bare("x", workflow="w"))}
    assert found(bare("a", workflow="v"), others=others) == ["steps: it runs within itself: w → v → u → w"]


def test_too_many_steps_and_too_many_within_each_other() -> None:
    deep = {f"v{n}": workflow(bare("x", workflow=f"v{n + 1}")) for n in range(12)} | {"v12": INNER}
    assert found(bare("a", workflow="v0"), others=deep)[0] == "steps: more than 10 workflows stand within each other"
    wide = {f"v{n}": workflow(*(bare(f"x{m}", workflow=f"v{n + 1}") for m in range(30))) for n in range(3)}
    said = found(bare("a", workflow="v0", input={"text": "input.text"}), others=wide | {"v3": INNER})
    assert any(each.startswith("steps: a run would have ") for each in said)


def test_a_definition_takes_what_its_user_gives() -> None:
    takes = {"type": "object", "properties": {"text": {"type": "integer"}}, "additionalProperties": False}
    use = WorkflowUse("w", Ask, Told)
    said = found(step(), takes=takes, output={"text": "steps.a.text"}, use=use)
    assert said[0].startswith("takes.text: input.text is str, and 'w' takes int")
    assert said[1].startswith("takes.more: 'w' takes no 'more'")


def test_what_it_takes_is_the_type_of_its_input() -> None:
    takes = {"type": "object", "properties": {"text": {"type": "integer"}}}
    assert found(step(), takes=takes)[0].startswith("steps.a.input.text: input.text is int, and 'join' takes str")
    closed = {**takes, "additionalProperties": False}
    assert found(step(input={"text": "input.txt"}), takes=closed) == [
        "steps.a.input.text: 'the input' gives no 'txt'; did you mean 'text'?"
    ]
    assert found(step(input={"text": "input.txt"}), takes=takes) == []


def test_messages_are_of_declared_types_and_go_where_they_can() -> None:
    def sent(types: Any, type: str = "told", to: str = "q", **body: str) -> list[str]:
        return found(step(send=[{"to": to, "type": type, "body": body}]), types=types)

    types = {"told": Told}
    assert sent(types, text="output.text") == []
    assert sent(types, "tol", text="output.text") == [
        "steps.a.send.0.type: no enabled plugin declares the message type 'tol'; did you mean 'told'?"
    ]
    assert sent({}, text="output.text") == [
        "steps.a.send.0.type: no enabled plugin provides messages; enable `messages`, or take it out"
    ]
    assert sent(types) == ["steps.a.send.0.body: a message 'told' needs 'text'; add `text: input.text`"]
    assert sent(types, text="output.length")[0].startswith("steps.a.send.0.body.text: output.length is int, and a")
    assert sent(types, to="not a queue", text="input.text")[0].startswith("steps.a.send.0.to: no queue can be called")


def test_events_have_names_and_say_what_is_there() -> None:
    assert found(step(publish=[{"name": "", "data": {"x": "output.txt"}}])) == [
        "steps.a.publish.0.name: is empty; give the event a name",
        "steps.a.publish.0.data.x: 'join' answers no 'txt'; did you mean 'text'?",
    ]


def test_all_is_told_at_once() -> None:
    paused = bare("c", wait=3, needs=["a"], undo={"agent": "x"})
    said = found(step(needs=["z"], response={"type": 3}), step(agent="joyn"), paused, savepoints=["q"])
    assert [each.split(": ")[0] for each in said] == [
        "steps.a.response", "steps.a", "steps.c.undo", "steps.a.needs", "savepoints", "steps.a.agent",
        "steps.c.undo.agent",
    ]  # fmt: skip


def test_what_a_definition_says_of_its_own_runs_is_noted_where_it_runs_within_another() -> None:
    inner = workflow(step("x"), on_failure="x", savepoints=["x"])
    said = found(bare("a", workflow="inner", input={"text": "input.text"}), others={"inner": inner})
    what = "steps.a.workflow: on_failure and savepoints of 'inner' don't count within another run"
    assert said == [f"note: {AT}{what}; that run is taken back as its own definition says"]
