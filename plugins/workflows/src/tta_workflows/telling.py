"""What a run tells of itself on the event bus: its start, its steps, its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .records import AnyRecord, Degraded, Done, Failed, Skipped, Started
from .runs import RunFinished, RunStarted, StepFinished, StepStarted
from .state import percent, step_run

if TYPE_CHECKING:
    from .execution import Execution


def tell_start(run: Execution, records: Sequence[AnyRecord]) -> None:
    """Tell that the run has begun, and with what."""
    if run.engine.publish is not None:
        head = run.head
        run.engine.publish(
            RunStarted(run=head.id, workflow=head.workflow, session=head.session, owner=head.owner)
        )  # fmt: skip
        tell(run, records)


def tell(run: Execution, records: Sequence[AnyRecord]) -> None:
    """Tell what these records, which are stored, say of steps."""
    publish, head = run.engine.publish, run.head
    if publish is None:
        return
    done = percent(run.plan, run.state)
    for record in records:
        if isinstance(record, Started):
            publish(
                StepStarted(
                    run=head.id, workflow=head.workflow, step=record.step, attempt=record.attempt, percent=done,
                    session=head.session, owner=head.owner,
                )
            )  # fmt: skip
        elif isinstance(record, Done | Skipped | Degraded) or (isinstance(record, Failed) and not record.again):
            step = step_run(run.plan.find(record.step), record.step, run.state.step(record.step))
            if isinstance(record, Failed) and step.status != "failed":
                continue  # What became of it after all is told next.
            publish(
                StepFinished(
                    run=head.id, step=step, workflow=head.workflow, percent=done, session=head.session,
                    owner=head.owner,
                )
            )  # fmt: skip


def tell_end(run: Execution) -> None:
    """Tell that the run is over, and how."""
    if run.engine.publish is None:
        return
    head, end = run.head, run.state.end
    assert end is not None
    run.engine.publish(
        RunFinished(
            run=head.id, workflow=head.workflow, status=run.state.status, seconds=end.at - head.created_at,
            error=end.code, session=head.session, owner=head.owner,
        )
    )  # fmt: skip
