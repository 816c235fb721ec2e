"""What is counted of agents and their calls: from the events that tell of them, so that no call waits for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from tta_kernel import Figure
from tta_metrics import Metrics

from .model import AgentCalled, Statistics

FIGURES = (
    Figure("agents.served", "agents that this process serves"),
    Figure("agents.degraded", "agents of this process that are degraded"),
    Figure("agents.running", "calls at which agents of this process work"),
)


def picture(statistics: Mapping[str, Statistics], degraded: int) -> Mapping[str, Any]:
    """Return the snapshot: how each agent has done by its address, and the figures."""
    return {
        **{address: msgspec.to_builtins(each) for address, each in statistics.items()},
        "agents.served": len(statistics),
        "agents.degraded": degraded,
        "agents.running": sum(each.running for each in statistics.values()),
    }


@contextmanager
def counted(metrics: Metrics | None) -> Iterator[None]:
    """Count the calls that end in this process, where somebody counts, for as long as the block."""
    if metrics is None:
        yield
        return
    calls = metrics.counter(
        "tta_agents_calls_total",
        "calls of agents of this process that are over, by what they came to: ok, or the code of an error",
        labels=("agent", "code"),
    )
    seconds = metrics.histogram(
        "tta_agents_call_duration_seconds", "how long agents of this process worked on a call", labels=("agent",)
    )

    def count(event: AgentCalled) -> None:
        calls.labels(event.agent.type, event.code or "ok").inc()
        seconds.labels(event.agent.type).observe(event.seconds)

    with metrics.follow(AgentCalled, count):
        yield
