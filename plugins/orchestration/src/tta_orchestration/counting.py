"""What is counted of turns, from the events that tell of them: no turn waits for that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tta_metrics import Metrics
from tta_safety import CheckFailed

from .model import Status, StoreFailed, TurnPlayed


@contextmanager
def counted(metrics: Metrics | None) -> Iterator[None]:
    """Count the turns that are played in this process, where somebody counts, for as long as the block."""
    if metrics is None:
        yield
        return
    turns = metrics.counter("tta_orchestration_turns_total", "turns that were answered", labels=("outcome",))
    seconds = metrics.histogram("tta_orchestration_turn_duration_seconds", "how long players waited for their turn")
    stores = metrics.counter(
        "tta_orchestration_store_failures_total",
        "turns that couldn't read or keep their session, or reach their agents",
        labels=("part", "code"),
    )
    checks = metrics.counter(
        "tta_safety_check_failures_total", "checks of text that raised, were late or answered nonsense",
        labels=("channel",),
    )  # fmt: skip

    def count_turn(event: TurnPlayed) -> None:
        turns.labels(event.outcome).inc()
        seconds.observe(event.seconds)

    with (
        metrics.follow(TurnPlayed, count_turn),
        metrics.follow(StoreFailed, lambda event: stores.labels(event.part, event.code).inc()),
        metrics.follow(CheckFailed, lambda event: checks.labels(event.channel).inc()),
    ):
        yield


class Counts:
    """Counts turns for `Status`."""

    def __init__(self) -> None:
        self._requests = self._errors = 0
        self._seconds = 0.0

    def add(self, seconds: float, *, failed: bool) -> None:
        """Count a turn that was answered."""
        self._requests += 1
        self._errors += failed
        self._seconds += seconds

    def status(self, *, running: bool, turns: int, parts: Mapping[str, bool]) -> Status:
        """Return what was counted, and what is so now."""
        mean = self._seconds / self._requests if self._requests else 0.0
        return Status(running, turns, self._requests, self._errors, mean, parts)
