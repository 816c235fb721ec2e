"""What a run's records say: the state of each step, what is ready, what to take back. Nothing here does anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from .journal import RunHead, RunStatus
from .plan import Plan, PlannedStep, pick
from .records import (
    AnyRecord,
    Asked,
    Degraded,
    Done,
    Ended,
    Failed,
    Left,
    Piece,
    Released,
    RolledBack,
    Signal,
    Skipped,
    Started,
    TakenOver,
    Timer,
    UndoAdded,
    Undone,
)  # fmt: skip
from .runs import Run, StepRun, StepStatus
from .traces import trace_of

SETTLED = frozenset({"done", "skipped", "degraded"})
"""A step of such a status is over, and others may go on."""
OVER: frozenset[RunStatus] = frozenset({"refused", "done", "failed", "cancelled", "stuck", "set-aside"})


class StepState:
    """What the records say of one step, or of one round of a step that repeats.

    ``started`` and ``committed`` are the records' numbers: from the first on it may have acted, with the second it has
    its output. ``text`` is what was streamed in its present attempt, in ``pieces``, and ``released`` says of how many
    characters of it a person was told.
    """

    # As attributes of the class, most of which no step ever changes: a run makes many of these.
    status: StepStatus = "pending"
    attempt = 0
    agent = ""
    began = 0.0
    seconds = 0.0
    started = 0
    committed = 0
    output: Mapping[str, Any] | None = None
    code = ""
    detail = ""
    again = 0.0
    due = 0.0
    answer: Signal | None = None
    text = ""
    pieces = 0
    released = 0
    undo: tuple[UndoAdded, ...] = ()
    undone: Mapping[int, Undone] = {}
    before = 0
    """How many attempts there were before somebody had the run tried again: those count no more."""


class Cause(NamedTuple):
    """Why a run doesn't go on: a step has failed, or somebody asked; ``savepoint`` as it was asked for."""

    step: str = ""
    code: str = ""
    detail: str = ""
    asked: Asked | None = None


class Effect(NamedTuple):
    """Something to be taken back: by the undo of the step's definition (0), or by an `UndoAdded` of that number."""

    step: str
    number: int
    attempt: int
    again: float


class State:
    """What the records so far say of a run; `advance` adds one."""

    def __init__(self, records: Iterable[AnyRecord] = ()) -> None:
        self.length = 0
        self.steps: dict[str, StepState] = {}
        self.outputs: dict[str, dict[str, Any]] = {"": {}}
        """By a prefix such as ``tell/``, the outputs of the steps there."""
        self.settled = 0
        """How many steps of the run's own definition are over."""
        self.running = 0
        """How many agents are at work, or will be tried again."""
        self.waiting = 0
        self.cause: Cause | None = None
        self.end: Ended | None = None
        self.rolled_back: RolledBack | None = None
        self.vanished = 0
        """How many processes in a row have vanished while this run's agents were at work, and nothing came of it."""
        self._left = False
        self.paused = False
        self._paused_at = 0.0
        self.begun_again = 0.0
        """When somebody had it tried again, or let it go on after it was set aside: its time limit counts from then."""
        self.pauses = 0.0
        """For how long it was paused since; that doesn't count for its time limit."""
        for record in records:
            self.advance(record)

    def advance(self, record: AnyRecord) -> None:
        """Take in the next record."""
        self.length += 1
        _FOLDS[type(record)](self, record)

    @property
    def status(self) -> RunStatus:
        if self.cause is not None:
            return "undoing"
        if self.end is None:
            if self.paused:
                return "paused"
            return "waiting" if self.waiting and not self.running else "running"
        if self.rolled_back is not None and self.rolled_back.stuck:
            return "stuck"
        return self.end.status

    @property
    def acting(self) -> bool:
        """Whether an agent may be at work: one that does a step, or one that takes it back."""
        return self.cause is not None or any(step.status == "running" for step in self.steps.values())

    @property
    def over(self) -> bool:
        return self.end is not None and self.cause is None

    def step(self, path: str) -> StepState:
        """Return what is known of a step, which may be nothing yet."""
        found = self.steps.get(path)
        if found is None:
            found = self.steps[path] = StepState()
        return found

    def _begins(self, record: Started) -> None:
        step = self.step(record.step)
        self._leave(step)
        if record.agent:
            self.running += 1
            step.status = "running"
        else:
            self.waiting += 1
            step.status = "waiting"
        step.attempt, step.agent = record.attempt, record.agent
        if step.text:
            step.text, step.pieces = "", 0
        step.again = 0.0
        if not step.started:
            step.started, step.began = self.length, record.at

    def _says(self, record: Piece) -> None:
        step = self.step(record.step)
        if record.attempt == step.attempt:
            step.text += record.text
            step.pieces = record.number

    def _is_released(self, record: Released) -> None:
        step = self.step(record.step)
        # Of what was retracted nothing can be released any more.
        if record.attempt == step.attempt and step.status not in ("degraded", "skipped"):
            step.released = max(step.released, record.length)

    def _adds_undo(self, record: UndoAdded) -> None:
        step = self.step(record.step)
        step.undo = (*step.undo, record)

    def _is_done(self, record: Done) -> None:
        step = self.step(record.step)
        self._leave(step)
        self.vanished = 0
        step.status, step.output, step.committed = "done", record.output, self.length
        step.code = step.detail = ""
        step.seconds = record.seconds
        if record.agent:
            step.agent = record.agent
        self._settle(record.step, record.output)

    def _is_degraded(self, record: Degraded) -> None:
        step = self.step(record.step)
        self._leave(step)
        self.vanished = 0
        step.status, step.output, step.committed = "degraded", record.output, self.length
        step.code = record.code
        self._recover(record.step)
        self._settle(record.step, record.output)

    def _is_skipped(self, record: Skipped) -> None:
        step = self.step(record.step)
        self._leave(step)
        step.status = "skipped"
        self._recover(record.step)
        self._settle(record.step, None)

    def _fails(self, record: Failed) -> None:
        step = self.step(record.step)
        self._leave(step)
        self.vanished = 0
        step.code, step.detail, step.seconds = record.code, record.detail, record.seconds
        if record.again:
            self.running += 1
            step.status, step.again = "retrying", record.again
            return
        step.status = "failed"
        if self.cause is None and _is_own(record.step):
            self.cause = Cause(record.step, record.code, record.detail)
            self.paused = False

    def _takes_back(self, record: Undone) -> None:
        step = self.step(record.step)
        self.vanished = 0
        step.undone = {**step.undone, record.number: record}

    def _hears(self, record: Signal) -> None:
        step = self.step(record.step)
        if step.answer is None:
            step.answer = record

    def _waits(self, record: Timer) -> None:
        step = self.step(record.step)
        self._leave(step)
        self.waiting += 1
        step.status, step.due = "waiting", record.due
        step.began = step.began or record.at

    def _is_asked(self, record: Asked) -> None:
        if record.what in ("cancel", "rollback"):
            self._is_stopped(record)
        elif record.what == "pause":
            if self.end is None and self.cause is None and not self.paused:
                self.paused, self._paused_at = True, record.at
        elif record.what == "resume":
            self._is_resumed(record)
        elif self.over:
            self._is_tried_again(record)

    def _is_resumed(self, record: Asked) -> None:
        self.vanished = 0
        if self.paused:
            self.paused = False
            self.pauses += max(0.0, record.at - self._paused_at)
        elif self.end is None:
            self.begun_again, self.pauses = record.at, 0.0

    def _is_tried_again(self, record: Asked) -> None:
        """Go on where the run was when it ended; after it was taken back, where it was taken back to."""
        if self.end is None or self.status not in ("failed", "cancelled"):
            return
        back = self.rolled_back
        until = 0.0 if back is None or back.savepoint not in self.steps else self.steps[back.savepoint].committed
        for path, step in self.steps.items():
            stays = step.status in SETTLED and (back is None or 0 < step.committed <= until)
            if not stays:
                self._begin_anew(path, step)
        self.end = self.rolled_back = None
        self.vanished = 0
        self.begun_again, self.pauses = record.at, 0.0

    def _begin_anew(self, path: str, step: StepState) -> None:
        """Know of a step no more than how many attempts at it there were."""
        self._leave(step)
        if step.status in SETTLED and _is_own(path):
            self.settled -= 1
        prefix, _, name = path.rpartition("/")
        self.outputs.get(f"{prefix}/" if prefix else "", {}).pop(name.partition("#")[0], None)
        self.steps[path] = again = StepState()
        again.attempt = again.before = step.attempt

    def _is_stopped(self, record: Asked) -> None:
        if self.end is not None and record.what == "cancel":
            return
        self.paused = False
        self.vanished = 0  # Who asks for its end knows that it was set aside, and what takes it back is no step.
        if self.cause is None or (record.what == "rollback" and self.cause.asked is not None):
            code = "cancelled" if record.what == "cancel" else "rolled_back"
            self.cause = Cause(code=code, asked=record)
        if record.what == "rollback":
            self._try_again()

    def _try_again(self) -> None:
        """Let what could not be taken back be tried once more."""
        for step in self.steps.values():
            step.undone = {number: each for number, each in step.undone.items() if not each.code}

    def _is_rolled_back(self, record: RolledBack) -> None:
        self.rolled_back = record
        self.cause = None

    def _is_left(self, record: Left) -> None:
        self._left = True

    def _is_taken_over(self, record: TakenOver) -> None:
        if not self._left:
            self.vanished += 1
        self._left = False

    def _ends(self, record: Ended) -> None:
        self.end = record
        self.cause = None
        self.paused = False

    def _leave(self, step: StepState) -> None:
        if step.status in ("running", "retrying"):
            self.running -= 1
        elif step.status == "waiting":
            self.waiting -= 1

    def _recover(self, path: str) -> None:
        if self.cause is not None and self.cause.step == path:
            self.cause = None

    def _settle(self, path: str, output: Mapping[str, Any] | None) -> None:
        prefix, id, is_own = "", path, _is_own(path)
        if not is_own:
            prefix, slash, name = path.rpartition("/")
            prefix, id = prefix + slash, name.partition("#")[0]
        if output is not None:
            self.outputs.setdefault(prefix, {})[id] = output
        if is_own:
            self.settled += 1


_FOLDS: Mapping[type, Callable[[State, Any], None]] = {
    Started: State._begins, Piece: State._says, Released: State._is_released, UndoAdded: State._adds_undo,
    Done: State._is_done, Skipped: State._is_skipped, Failed: State._fails, Degraded: State._is_degraded,
    Undone: State._takes_back, Signal: State._hears, Timer: State._waits, Asked: State._is_asked,
    RolledBack: State._is_rolled_back, TakenOver: State._is_taken_over, Left: State._is_left, Ended: State._ends,
}  # fmt: skip


def _is_own(path: str) -> bool:
    """Say whether a step is one of the run's own definition, and no round of it."""
    return "/" not in path and "#" not in path


def savepoint_of(plan: Plan, cause: Cause) -> str | None:
    """Return after which step all is to be taken back ("": from the beginning), or None where all is to be kept."""
    if cause.asked is not None and cause.asked.what == "rollback":
        return cause.asked.savepoint
    on_failure = plan.workflow.on_failure
    if on_failure == "keep":
        return None
    return "" if on_failure == "undo" else on_failure


def effects(plan: Plan, state: State, savepoint: str = "") -> Iterator[Effect]:
    """Yield what is to be taken back, in the reverse of the order of commits: all that came after a savepoint.

    What was started and never committed may have acted until now, so it comes first. A savepoint that was never
    reached is no place to stop at.
    """
    until = state.steps[savepoint].committed if savepoint in state.steps else 0

    def newest_first(item: tuple[str, StepState]) -> tuple[bool, int, int]:
        step = item[1]
        return not step.committed, step.committed, step.started

    for path, step in sorted(state.steps.items(), key=newest_first, reverse=True):
        if not step.started or (step.committed and step.committed <= until):
            continue
        planned = plan.find(path)
        is_round = "#" in path.rpartition("/")[2]
        own = [0] if planned and planned.step.undo and (is_round or planned.until is None) else []
        for number in (*own, *(each.number for each in reversed(step.undo))):
            undone = step.undone.get(number)
            if undone is None:
                yield Effect(path, number, 1, 0.0)
            elif undone.code and undone.again:
                yield Effect(path, number, undone.attempt + 1, undone.again)


def stuck(state: State) -> tuple[str, ...]:
    """Name the steps of which something could not be taken back."""
    return tuple([path for path, step in state.steps.items() if step.undone and _is_stuck(step)])


def _is_stuck(step: StepState) -> bool:
    return any(each.code and not each.again for each in step.undone.values())


def percent(plan: Plan, state: State) -> int:
    """Say how much of a run is over, from 0 to 100."""
    return 100 * state.settled // len(plan.steps)


def view(
    head: RunHead, plan: Plan | None, state: State, now: float, *, status: RunStatus | None = None
) -> Run:  # fmt: skip
    """Return the run as its callers see it; without a plan, what can be told of it without its definition.

    ``status`` is what the journal says, where that knows better.
    """
    end = state.end
    returned: Mapping[str, Any] = {}
    if plan is not None and state.status == "done":
        returned = pick(plan.output, {"input": head.input, "steps": state.outputs[""]})
    cause = state.cause
    failed = next((step for step in state.steps.values() if step.status == "failed"), None)
    detail = (cause.detail if cause else "") or (failed.detail if failed else "")
    return Run(
        id=head.id, workflow=head.workflow, status=status or state.status, started_at=head.created_at,
        seconds=max(0.0, (end.at if end else now) - head.created_at), steps=tuple(_step_runs(plan, state)),
        error=(end.code if end else cause.code if cause else ""), detail=detail, output=returned,
        session=head.session, owner=head.owner, labels=head.labels,
        percent=percent(plan, state) if plan else 0,
        degraded=tuple([path for path, step in state.steps.items() if step.status == "degraded"]),
        stuck=stuck(state), definition=head.definition, waits=_waits(plan, head, state, now) if plan else "",
    )  # fmt: skip


def _waits(plan: Plan, head: RunHead, state: State, now: float) -> Literal["", "concurrency", "debounce"]:
    """Return what keeps a run from its first step, if anything does."""
    execution = plan.workflow.execution
    if state.steps or state.status != "running":
        return ""
    if execution.debounce is not None and now < head.created_at + execution.debounce.wait:
        return "debounce"
    return "concurrency" if execution.concurrency is not None else ""


def step_run(planned: PlannedStep | None, path: str, step: StepState, *, over: bool = False) -> StepRun:
    """Return one step as callers see it, of a run that may be ``over``."""
    status = step.status
    if over and status in ("running", "waiting", "retrying"):
        status = "cancelled"  # Nothing is recorded of it: the run's end broke it off.
    if status == "waiting" and planned is not None and (planned.inner or planned.until):
        status = "running"
    if step.undone:
        status = "stuck" if _is_stuck(step) else "undone"
    # A reader knows a step's agent by its type; who it was in the end is in the record.
    agent = planned.name if planned else step.agent
    return StepRun(path, agent, status, step.seconds, step.code, step.detail, step.attempt, trace_of(step.output))


def _step_runs(plan: Plan | None, state: State) -> list[StepRun]:
    """Return all steps in the order of the definition, and those within them; without one, as they began."""
    if plan is None:
        return [step_run(None, path, step, over=state.over) for path, step in state.steps.items()]
    within: dict[str, list[str]] = {}
    for path in state.steps:
        if not _is_own(path):
            within.setdefault(path.partition("/")[0].partition("#")[0], []).append(path)
    found: list[StepRun] = []
    for planned in plan.steps:
        step = state.steps.get(planned.id)
        if step is None:
            found.append(StepRun(planned.id, planned.name, "pending"))
        else:
            found.append(step_run(planned, planned.id, step, over=state.over))
        inner = within.get(planned.id, ())
        found += [step_run(plan.find(path), path, state.steps[path], over=state.over) for path in inner]
    return found
