"""What is counted of decisions: by rule and effect, and never by person."""

from __future__ import annotations

from tta_kernel import Figure
from tta_metrics import Metrics
from tta_metrics.instruments import Counter

from .model import Decision

FIGURES = (
    Figure("tool-policy.rules", "rules in force"),
    Figure("tool-policy.degraded", "1 while the policy's file can't be used"),
)
_KEPT = 4096


class Counts:
    """Counts in the registry of metrics, where there is one."""

    def __init__(self, metrics: Metrics | None) -> None:
        self._metrics = metrics
        self._counters: dict[tuple[str, str], Counter] = {}
        if metrics is None:
            return
        self._decisions = metrics.counter(
            "tta_tool_policy_decisions_total", "calls of tools that were decided", labels=("effect", "rule")
        )
        self._shadows = metrics.counter(
            "tta_tool_policy_shadow_decisions_total", "what rules that are only tried would have decided",
            labels=("effect", "rule"),
        )  # fmt: skip
        self._loads = metrics.counter(
            "tta_tool_policy_loads_total", "policies that were loaded, by what became of them", labels=("outcome",)
        )
        self._unrecorded = metrics.counter(
            "tta_tool_policy_unrecorded_total", "decisions that could not be recorded, and so allowed nothing"
        )

    def decided(self, decision: Decision) -> None:
        """Count a decision."""
        if self._metrics is None:
            return
        key = (decision.effect, decision.rule)
        counter = self._counters.get(key)
        if counter is None:
            if len(self._counters) >= _KEPT:
                self._counters.clear()
            counter = self._counters[key] = self._decisions.labels(*key)
        counter.inc()
        for each in decision.shadow:
            rule, _, effect = each.rpartition("=")
            self._shadows.labels(effect, rule).inc()

    def loaded(self, outcome: str) -> None:
        """Count a policy that was put in force, or refused."""
        if self._metrics is not None:
            self._loads.labels(outcome).inc()

    def unrecorded(self) -> None:
        """Count a decision that could not be recorded."""
        if self._metrics is not None:
            self._unrecorded.inc()
