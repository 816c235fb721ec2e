"""What is counted of runs and steps, from the events that tell of them: no run waits for that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tta_metrics import Metrics

from .runs import RunFinished, StepFinished


@contextmanager
def counted(metrics: Metrics | None) -> Iterator[None]:
    """Count the runs and steps that end in this process, where somebody counts, for as long as the block."""
    if metrics is None:
        yield
        return
    runs = metrics.counter("tta_workflows_runs_total", "runs that are over", labels=("workflow", "status"))
    run_seconds = metrics.histogram(
        "tta_workflows_run_duration_seconds", "how long runs took, waiting included", labels=("workflow",)
    )
    steps = metrics.counter("tta_workflows_steps_total", "steps that are over", labels=("agent", "status"))
    step_seconds = metrics.histogram(
        "tta_workflows_step_duration_seconds", "how long steps took, all attempts included", labels=("agent",)
    )

    def count_run(event: RunFinished) -> None:
        runs.labels(event.workflow, event.status).inc()
        run_seconds.labels(event.workflow).observe(event.seconds)

    def count_step(event: StepFinished) -> None:
        steps.labels(event.step.agent, event.step.status).inc()
        step_seconds.labels(event.step.agent).observe(event.step.seconds)

    with metrics.follow(RunFinished, count_run), metrics.follow(StepFinished, count_step):
        yield
