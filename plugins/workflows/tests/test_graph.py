from __future__ import annotations

from tta_workflows import graph
from tta_workflows.testing import workflow

TALE = workflow(
    {"id": "scene", "agent": "world", "undo": {"agent": "forget"}, "timeout": 5, "retry": {"attempts": 3}},
    {"id": "mood", "capability": "feel", "needs": [], "when": "input.text == \"a\"", "fallback": {"mood": "calm"}},
    {"id": "ask", "signal": "person", "needs": ["scene"]},
    {"id": "rest", "wait": 90, "needs": ["ask"]},
    {"id": "tell", "workflow": "story", "needs": ["rest", "mood?"], "repeat": {"until": "output.done", "most": 3}},
    timeout=600,
)  # fmt: skip


def test_a_line_for_each_step_in_an_order_in_which_they_may_run() -> None:
    title, *lines = graph.text("tale", TALE).splitlines()
    assert title == "tale: at most 600 s"
    assert sorted(line.split() for line in lines) == sorted(
        each.split()
        for each in (
            "scene agent world first 5 s; 3 attempts; undo forget",
            'mood capability feel first when input.text == "a"; has a fallback',
            "ask signal person after scene",
            "rest wait 90 s after ask",
            "tell workflow story after rest, mood? until output.done, at most 3 times",
        )
    )


def test_a_chart_for_mermaid() -> None:
    assert graph.mermaid(TALE).splitlines() == [
        "flowchart TD",
        '  s0["scene: world<br>5 s<br>3 attempts<br>undo forget"]',
        '  s1(["mood: feel<br>when input.text == #34;a#34;<br>has a fallback"])',
        '  s2{{"ask: person"}}',
        '  s3("rest: 90 s")',
        '  s4[["tell: story<br>until output.done, at most 3 times"]]',
        "  s0 --> s2",
        "  s2 --> s3",
        "  s3 --> s4",
        "  s1 -.-> s4",
        "  style s1 stroke-dasharray: 4",
    ]


def test_what_is_wrong_can_be_drawn_and_no_terminal_obeys_it() -> None:
    wrong = workflow(
        {"id": "a\x1b[31m", "agent": 'x"]; click', "needs": ["b"]},
        {"id": "b", "wait": 1, "needs": ["a\x1b[31m", "c"]},
    )
    for picture in (graph.text("w\x1b", wrong), graph.mermaid(wrong)):
        assert "\x1b" not in picture
        assert picture.count("\n") >= 2
    assert 'x"]' not in graph.mermaid(wrong)
