"""What is wrong with a run's journal, as a function of it; and what journals of whole runs look like to it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from tta_workflows.checks import Finding, check
from tta_workflows.journal import Journalled, RunHead, RunStatus
from tta_workflows.memory import MemoryJournal
from tta_workflows.plan import make_plan
from tta_workflows.records import AnyRecord, Asked, Done, Ended, Failed, RolledBack, Started, TakenOver, Timer, Undone
from tta_workflows.testing import FakeAgents, Processes, echo, failing, workflow

STEP = {"agent": "echo", "input": {"text": "input.text"}}
PLAN = make_plan("w", {"w": workflow({"id": "a", **STEP}, {"id": "b", **STEP}, timeout=100.0)})
BEGAN = 1000.0
IN_TIME, LATE = BEGAN + 50, BEGAN + 1000


def found(
    *records: AnyRecord, status: RunStatus = "running", now: float = IN_TIME, definition: str = PLAN.definition
) -> list[tuple[str, str]]:  # fmt: skip
    run = Journalled(RunHead("r", "w", definition, BEGAN), records, status=status)
    return [(each.code, each.fix) for each in check(PLAN, run, now)]


def started(step: str, attempt: int = 1) -> Started:
    return Started(at=BEGAN + 1, step=step, attempt=attempt, agent="echo")


def done(step: str) -> Done:
    return Done(at=BEGAN + 2, step=step)


@pytest.mark.parametrize(
    ("records", "status", "now", "expected"),
    [
        ((), "running", IN_TIME, []),
        ((started("a"),), "running", IN_TIME, []),
        ((started("a"), TakenOver(at=BEGAN + 2), done("a"), started("b")), "running", IN_TIME, []),
        ((started("a"), Asked(at=BEGAN + 2, what="cancel")), "running", IN_TIME, []),
        ((started("a"), Asked(at=BEGAN + 2, what="pause")), "paused", LATE, []),
        ((started("a"),), "running", LATE, [("overdue", "cancel")]),
        ((started("a"),), "done", IN_TIME, [("status", "reopen")]),
        ((started("a"), done("a"), started("b"), done("b"), Ended(at=BEGAN + 3, status="done")), "running", IN_TIME,
         [("status", "reopen")]),
        ((started("a"), done("a"), done("a")), "running", IN_TIME, [("twice", "set-aside")]),
        ((started("b"),), "running", IN_TIME, [("needs", "set-aside")]),
        ((started("z"),), "running", IN_TIME, [("step", "set-aside")]),
        ((Timer(at=BEGAN, step="a", due=BEGAN + 1),), "waiting", BEGAN + 90, [("due", "reopen")]),
        ((started("a"), done("a"), started("b"), Failed(at=BEGAN + 3, step="b", attempt=1, code="tired"),
          Undone(at=BEGAN + 4, step="a", code="tired"), RolledBack(at=BEGAN + 4, stuck=("a",)),
          Ended(at=BEGAN + 5, status="failed", code="tired")), "stuck", IN_TIME, [("stuck", "rollback")]),
        ((started("z"),), "set-aside", LATE, []),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found_with_the_way_to_mend_it(
    records: Sequence[AnyRecord], status: RunStatus, now: float, expected: list[tuple[str, str]]
) -> None:
    assert found(*records, status=status, now=now) == expected


def test_a_run_of_another_definition_or_of_none_is_for_a_human() -> None:
    assert found(started("a"), definition="other") == [("definition", "set-aside")]
    run = Journalled(RunHead("r", "w", "other", BEGAN), (started("a"),))
    assert check(None, run, IN_TIME) == [Finding("r", "definition", "nobody has the definition other", "set-aside")]


WHOLE: dict[str, dict[str, Any]] = {
    "well": {"steps": [
        {"id": "a", **STEP}, {"id": "b", **STEP, "needs": []}, {"id": "c", **STEP, "needs": ["a", "b?"]},
    ]},
    "skips": {"steps": [{"id": "a", **STEP, "when": "input.text == 'no'"}, {"id": "b", **STEP}]},
    "within": {"steps": [{"id": "in", "workflow": "inner", "input": {"text": "input.text"}}, {"id": "b", **STEP}]},
    "repeats": {"steps": [
        {"id": "a", **STEP, "repeat": {"until": "len(output.text) > 3", "most": 3}}, {"id": "b", **STEP},
    ]},
    "tries": {"steps": [{"id": "a", **STEP, "agent": "tired", "retry": {"attempts": 3, "delay": 0.001}}]},
    "fails": {"steps": [{"id": "a", **STEP, "undo": {"agent": "echo"}}, {"id": "b", **STEP, "agent": "broken"}]},
}  # fmt: skip
INNER = workflow({"id": "x", **STEP}, {"id": "y", **STEP}, output={"text": "steps.y.text"})


@pytest.mark.parametrize("name", WHOLE)
async def test_nothing_is_wrong_with_a_run_wherever_it_is(name: str) -> None:
    journal, definition = MemoryJournal(time.time), workflow(*WHOLE[name]["steps"])
    work = {"echo": echo, "tired": failing("tired", "tired"), "broken": failing(*["broken"] * 9, retryable=False)}
    with anyio.fail_after(10):
        async with Processes(journal, FakeAgents(work)).running(w=definition, inner=INNER) as workflows:
            await workflows.run("w", {"text": "hi"}, key="r")
            if name == "fails":
                await workflows.retry("r")
                while (run := await workflows.query("r")) is None or not run.over:
                    await anyio.lowlevel.checkpoint()
    whole = await journal.read("r")
    assert whole is not None
    plan = make_plan("w", {"w": definition, "inner": INNER})
    assert check(plan, whole, time.time()) == []
    for length in range(len(whole.records)):
        part = Journalled(whole.head, whole.records[:length], status="running")
        assert [each for each in check(plan, part, time.time()) if each.fix == "set-aside"] == []
