"""What is counted of tools in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tta_kernel import Figure
from tta_metrics import Metrics

from .events import ToolApprovalAsked, ToolApprovalDecided, ToolCalled
from .tools import StoredTools

FIGURES = (
    Figure("tools.registered", "tools that are registered"),
    Figure("tools.active", "tools that are registered, and not deprecated"),
    Figure("tools.deprecated", "tools that are deprecated"),
    Figure("tools.runnable", "tools that this process declares"),
    Figure("tools.refused", "tools that plugins of this process declare, and that can't be registered"),
    Figure("tools.cache_hits", "look-ups of tools that this process answered from memory", "counter"),
    Figure("tools.cache_misses", "look-ups of tools for which this process asked the store", "counter"),
    Figure("tools.cached", "look-ups of tools that this process holds"),
    Figure("tools.threads", "threads of this process in which tools run"),
    Figure("tools.late_threads", "threads of this process in which tools run beyond their limit"),
    Figure("tools.uncounted", "calls of this process that no figures tell of", "counter"),
)


def picture(tools: StoredTools) -> Mapping[str, Any]:
    """Return the snapshot: the figures, how each tool has done since the store was last told, and the policy."""
    registry, in_thread = tools.registry, tools.maker.in_thread
    counted = {f"tools.{status}": number for status, number in tools.counts.items()}
    return {
        **counted,
        **({"tools.registered": sum(counted.values())} if counted else {}),
        "tools.runnable": len(registry.local),
        "tools.refused": len(registry.refused),
        "tools.cache_hits": registry.hits,
        "tools.cache_misses": registry.misses,
        "tools.cached": len(registry),
        "tools.threads": in_thread.running,
        "tools.late_threads": in_thread.late.total(),
        "tools.uncounted": tools.calls.statistics.lost,
    }


@contextmanager
def counted(metrics: Metrics | None) -> Iterator[None]:
    """Count calls in this process, where somebody counts, for as long as the block."""
    if metrics is None:
        yield
        return
    calls = metrics.counter(
        "tta_tools_calls_total", "calls of tools by what they came to: ok, or the code of an error",
        labels=("tool", "code"),
    )  # fmt: skip
    seconds = metrics.histogram("tta_tools_call_duration_seconds", "how long calls of tools took", labels=("tool",))
    cached = metrics.counter(
        "tta_tools_cached_total", "calls of tools that had the result of an equal call", labels=("tool",)
    )  # fmt: skip
    asked = metrics.counter("tta_tools_approvals_asked_total", "calls for which a human was asked", labels=("tool",))
    decided = metrics.counter(
        "tta_tools_approvals_decided_total", "calls about which a human has decided", labels=("tool", "decision")
    )  # fmt: skip

    def count(event: ToolCalled) -> None:
        id = f"{event.tool}:{event.version}"
        calls.labels(id, event.code or "ok").inc()
        seconds.labels(id).observe(event.seconds)
        if event.cached:
            cached.labels(id).inc()

    def decide(event: ToolApprovalDecided) -> None:
        decided.labels(f"{event.tool}:{event.version}", "approved" if event.approved else "refused").inc()

    with (
        metrics.follow(ToolCalled, count),
        metrics.follow(ToolApprovalAsked, lambda event: asked.labels(f"{event.tool}:{event.version}").inc()),
        metrics.follow(ToolApprovalDecided, decide),
    ):
        yield
