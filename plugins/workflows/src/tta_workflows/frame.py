"""A definition under way: the run's own, or one within a step; it knows which steps are ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyio.abc import TaskGroup

from .expressions import ExpressionError
from .plan import Plan, PlannedStep, pick
from .records import AnyRecord, Skipped
from .state import SETTLED, State


class StepFailed(Exception):
    """A step has failed for good, and so does the workflow that it is in; the journal says why."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code, self.detail = code, detail


class Frame:
    """The steps of one plan, whose paths begin with ``prefix``, such as ``tell#2/``."""

    def __init__(self, plan: Plan, prefix: str, input: Mapping[str, Any], state: State) -> None:
        self.plan, self.prefix, self._state = plan, prefix, state
        self.data: dict[str, Any] = {"input": input, "steps": state.outputs.setdefault(prefix, {})}
        """What paths and expressions read."""
        self.tasks: TaskGroup | None = None
        self.failure: StepFailed | None = None
        self._left = [*plan.needs]
        """By a step's index, how many of those that it needs have yet to be over."""

    def begin(self, now: float, records: list[AnyRecord]) -> list[PlannedStep]:
        """Return the steps to begin or to go on with, and add to ``records`` what is skipped at once."""
        for step in self.plan.steps if self._state.steps else ():
            if self._status(step) in SETTLED:
                for each in step.next:
                    self._left[each] -= 1
        ready: list[PlannedStep] = []
        over: list[int] = []
        for step in self.plan.steps:
            if self._left[step.index]:
                continue
            status = self._status(step)
            if status == "pending" and self._is_skipped(step, now, records):
                over.append(step.index)
            elif status not in SETTLED:
                ready.append(step)
        return ready + self._after(over, now, records)

    def settle(self, step: PlannedStep, now: float, records: list[AnyRecord]) -> list[PlannedStep]:
        """Return which steps are ready since that one is over, and add to ``records`` what is skipped."""
        return self._after([step.index], now, records) if step.next else []

    def _after(self, over: list[int], now: float, records: list[AnyRecord]) -> list[PlannedStep]:
        ready = []
        while over:
            for index in self.plan.steps[over.pop()].next:
                self._left[index] -= 1
                if self._left[index]:
                    continue
                step = self.plan.steps[index]
                if self._is_skipped(step, now, records):
                    over.append(index)
                else:
                    ready.append(step)
        return ready

    def _is_skipped(self, step: PlannedStep, now: float, records: list[AnyRecord]) -> bool:
        path = self.prefix + step.id
        if "skipped" in [self._status(self.plan.steps[each]) for each in step.hard]:
            record = Skipped(at=now, step=path, why="needs")
        elif step.when is not None and not self._holds(step):
            record = Skipped(at=now, step=path, why="when")
        else:
            return False
        records.append(record)
        self._state.advance(record)
        return True

    def _holds(self, step: PlannedStep) -> bool:
        assert step.when is not None
        try:
            return step.when.holds(self.data)
        except ExpressionError:
            return True  # It begins, and fails by this.

    def _status(self, step: PlannedStep) -> str:
        found = self._state.steps.get(self.prefix + step.id)
        return found.status if found is not None else "pending"


def frame_data(plan: Plan, input: Mapping[str, Any], state: State, path: str) -> dict[str, Any]:
    """Return what the step at ``path`` reads, wherever it stands."""
    data: dict[str, Any] = {"input": input, "steps": state.outputs.get("", {})}
    prefix = ""
    *outer, _ = path.split("/")
    for part in outer:
        step = plan.ids[part.partition("#")[0]]
        assert step.inner is not None
        prefix += f"{part}/"
        data = {"input": pick(step.input, data), "steps": state.outputs.get(prefix, {})}
        plan = step.inner
    return data
