"""Whether a run's journal hangs together: a function of what it holds, and for each finding the one way to mend it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from .journal import Journalled
from .plan import Plan
from .records import AnyRecord, Asked, Degraded, Done, Ended, Skipped, Started
from .state import OVER, SETTLED, State

Fix = Literal["reopen", "cancel", "rollback", "set-aside"]
"""``reopen``: let whoever runs workflows claim it, who derives all else anew; ``set-aside``: only a human can tell."""
SLACK = 60.0
"""How late, in seconds, something may be before it counts as forgotten: clocks differ, and a take-over takes time."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong with a run: a ``code`` for programs, a line for people, and what mends it."""

    run: str
    code: str
    detail: str
    fix: Fix


def check(plan: Plan | None, found: Journalled, now: float, *, slack: float = SLACK) -> Sequence[Finding]:
    """Say what is wrong with a run; ``plan`` is what it runs, or None where nobody has it. The gravest comes first.

    Of what only a human can mend no more is looked for.
    """
    if found.status == "set-aside":
        return ()
    id = found.head.id
    grave = [Finding(id, code, detail, "set-aside") for code, detail in _grave(plan, found)]
    if grave or plan is None:
        return grave
    state = State(found.records)
    if found.status != state.status and not _is_asked(found, state):
        detail = f"the journal says {found.status}, and its records make that {state.status}"
        return [Finding(id, "status", detail, "reopen")]
    if state.status == "stuck":
        return [Finding(id, "stuck", "some of what it has done could not be taken back", "rollback")]
    return list(_late(plan, found, state, now - slack))


def _grave(plan: Plan | None, found: Journalled) -> Iterator[tuple[str, str]]:
    """Find what no process could go on with."""
    head = found.head
    if plan is None:
        if found.status not in OVER:
            yield "definition", f"nobody has the definition {head.definition}"
        return
    if plan.definition != head.definition:
        yield "definition", f"it was begun with the definition {head.definition}, and that is {plan.definition}"
    state, settled = State(), set[str]()
    for number, record in enumerate(found.records, 1):
        path = getattr(record, "step", "")
        if path and plan.find(path) is None:
            yield "step", f"record {number} is of step {path!r}, which the definition doesn't have"
            return
        if isinstance(record, Done | Degraded | Skipped):
            if path in settled:
                yield "twice", f"record {number} ends step {path!r} once more"
            settled.add(path)
        if isinstance(record, Started | Done) and (missing := _missing(plan, state, path)):
            yield "needs", f"record {number} is of step {path!r}, before {missing!r}, which it needs, was over"
        if isinstance(record, Ended) and state.end is not None and record.status == state.end.status:
            yield "ended", f"record {number} ends the run once more"
        state.advance(record)
        if isinstance(record, Asked) and record.what == "retry":
            settled = {path for path, step in state.steps.items() if step.status in SETTLED}


def _missing(plan: Plan, state: State, path: str) -> str:
    """Name a step that one needs, and that isn't over."""
    prefix, _, name = path.rpartition("/")
    outer = plan
    if prefix:
        holder = plan.find(prefix)
        if holder is None or holder.inner is None:
            return ""
        outer = holder.inner
    step = outer.ids.get(name.partition("#")[0])
    for index in (*step.hard, *step.soft) if step is not None else ():
        need = f"{prefix}/{outer.steps[index].id}" if prefix else outer.steps[index].id
        if need not in state.steps or state.steps[need].status not in SETTLED:
            return need
    return ""


def _is_asked(found: Journalled, state: State) -> bool:
    """Whether somebody has asked something that whoever has the run, or will, has yet to see to."""
    return State([*_without_last_asked(found.records)]).status == found.status or (
        found.status == "running" and state.status in ("waiting", "undoing", "paused")
    )


def _without_last_asked(records: Sequence[AnyRecord]) -> Sequence[AnyRecord]:
    return records[:-1] if records and isinstance(records[-1], Asked) else records


def _late(plan: Plan, found: Journalled, state: State, since: float) -> Iterator[Finding]:
    """Find what should have happened before a time."""
    id = found.head.id
    if state.over or state.paused:
        return
    limit = (state.begun_again or found.head.created_at) + state.pauses + plan.workflow.timeout
    if state.cause is None and limit < since:
        yield Finding(id, "overdue", f"its time limit of {plan.workflow.timeout:g} s was over long ago", "cancel")
        return
    for path, step in state.steps.items():
        due = step.due if step.status == "waiting" else step.again if step.status == "retrying" else 0.0
        if due and due < since:
            yield Finding(id, "due", f"step {path!r} should have gone on long ago", "reopen")
            return
