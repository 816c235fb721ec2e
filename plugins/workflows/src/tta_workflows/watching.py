"""Runs and steps that take long: said once when most of their time is over, or nothing has come of a run for long."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Never

import anyio

from .runs import RunQuiet, RunSlow, StepSlow

if TYPE_CHECKING:
    from .engine import Engine
    from .execution import Execution

WARN_AT = 0.75
"""The part of a time limit after which a run, or a step, is said to be slow."""
_LOOKS = 4
"""How often, while a run may be quiet, is looked whether it is."""


class Watch:
    """Says of the runs that a process works on what an operator should look at before they fail."""

    def __init__(self, engine: Engine, quiet_after: float) -> None:
        self._engine, self._quiet_after = engine, quiet_after
        self._told: dict[str, int] = {}
        """Of which runs it was said that they are quiet, and how many records they had then."""

    async def run(self, executions: Iterable[Execution]) -> Never:
        """Look now and then, until cancelled; ``executions`` yields those of each moment."""
        while True:
            await anyio.sleep(self._quiet_after / _LOOKS)
            self.look(list(executions))

    def look(self, executions: Iterable[Execution]) -> None:
        """Say which runs are quiet, each once until something comes of it."""
        now = self._engine.clock.time()
        told, self._told = self._told, {}
        for execution in executions:
            id, state = execution.head.id, execution.state
            length = state.length
            if told.get(id) == length:
                self._told[id] = length
                continue
            since = execution.last_at()
            # One that waits has time, and one whose attempt is to come will go on.
            waits = state.status not in ("running", "undoing") or any(
                step.status == "retrying" and step.again > now for step in state.steps.values()
            )
            if waits or now - since < self._quiet_after:
                continue
            self._told[id] = length
            self._say_quiet(execution, now - since)

    def _say_quiet(self, execution: Execution, seconds: float) -> None:
        head = execution.head
        steps = tuple(path for path, step in execution.state.steps.items() if step.status == "running")
        self._engine.log.warning(
            "run %s of workflow %s has come no further for %.0f s: %s", head.id, head.workflow, seconds,
            ", ".join(steps) or "it is being taken back",
        )  # fmt: skip
        if self._engine.publish is not None:
            self._engine.publish(
                RunQuiet(
                    run=head.id, workflow=head.workflow, steps=steps, seconds=seconds, session=head.session,
                    owner=head.owner,
                )
            )  # fmt: skip


def warn(execution: Execution) -> None:
    """Say that most of a run's time is over."""
    engine, head, limit = execution.engine, execution.head, execution.plan.workflow.timeout
    engine.log.warning(
        "run %s of workflow %s has taken %d %% of its %g s", head.id, head.workflow, 100 * WARN_AT, limit
    )  # fmt: skip
    if engine.publish is not None:
        engine.publish(
            RunSlow(run=head.id, workflow=head.workflow, limit=limit, session=head.session, owner=head.owner)
        )  # fmt: skip


class StepWatch:
    """While it is entered: says once that most of a step's time limit is over.

    ``began`` is when its time began to count; who takes a run over late need not say again what was said before.
    """

    # A class, since a generator would cost each call of an agent several times as much.
    __slots__ = ("_alarm", "_attempt", "_due", "_limit", "_path", "_run")

    def __init__(self, run: Execution, path: str, attempt: int, *, began: float, limit: float) -> None:
        self._run, self._path, self._attempt, self._limit = run, path, attempt, limit
        self._due = began + WARN_AT * limit
        self._alarm: int | None = None

    def __enter__(self) -> None:
        engine = self._run.engine
        if engine.clock.time() < self._due:
            self._alarm = engine.alarms.set(self._due, self._warn)

    def __exit__(self, *exc: object) -> None:
        if self._alarm is not None:
            self._run.engine.alarms.cancel(self._alarm)

    def _warn(self) -> None:
        engine, head = self._run.engine, self._run.head
        engine.log.warning(
            "step %s of run %s of workflow %s has taken %d %% of its %g s", self._path, head.id, head.workflow,
            100 * WARN_AT, self._limit,
        )  # fmt: skip
        if engine.publish is not None:
            engine.publish(
                StepSlow(
                    run=head.id, workflow=head.workflow, step=self._path, attempt=self._attempt, limit=self._limit,
                    session=head.session, owner=head.owner,
                )
            )  # fmt: skip
