"""What is counted of crises, from the events that tell of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tta_kernel import Figure
from tta_metrics import Buckets, Metrics

from .crises import StoredCrises
from .model import CrisisAcknowledged, CrisisEscalated, CrisisOpened, CrisisResolved

FIGURES = (
    Figure("crisis.unstored", "interventions that wait in this process for their store"),
    Figure("crisis.waiting", "protocols that wait in this process to begin"),
    Figure("crisis.untold", "notifications of crises that nobody could be told, by this process", "counter"),
    Figure("crisis.lost", "interventions that were dropped since none more fitted, by this process", "counter"),
)
_PATIENCE = Buckets(0, 17, range(2, 18, 2))


def picture(crises: StoredCrises) -> Mapping[str, Any]:
    """Return the figures of a process."""
    return {
        "crisis.unstored": len(crises.unstored),
        "crisis.waiting": len(crises.reach),
        "crisis.untold": crises.reach.untold,
        "crisis.lost": crises.unstored.lost,
    }


@contextmanager
def counted(metrics: Metrics | None) -> Iterator[None]:
    """Count interventions in this process, where somebody counts, for as long as the block."""
    if metrics is None:
        yield
        return
    opened = metrics.counter("tta_crisis_opened_total", "interventions that were opened", labels=("kind", "level"))
    seen = metrics.histogram(
        "tta_crisis_acknowledgement_duration_seconds", "how long interventions waited for a human", buckets=_PATIENCE
    )  # fmt: skip
    resolved = metrics.counter(
        "tta_crisis_resolved_total", "interventions that humans resolved", labels=("resolution",)
    )  # fmt: skip
    escalated = metrics.counter(
        "tta_crisis_escalated_total", "interventions to which nobody saw in time", labels=("level",)
    )  # fmt: skip
    with (
        metrics.follow(CrisisOpened, lambda event: opened.labels(event.kind, event.level).inc()),
        metrics.follow(CrisisAcknowledged, lambda event: seen.observe(event.seconds)),
        metrics.follow(CrisisResolved, lambda event: resolved.labels(event.resolution).inc()),
        metrics.follow(CrisisEscalated, lambda event: escalated.labels(event.level).inc()),
    ):
        yield
