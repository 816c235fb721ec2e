"""What is counted of checks: by channel, level and category, and never by person."""

from __future__ import annotations

from tta_kernel import Figure
from tta_metrics import Metrics

from .fusion import Judged

FIGURES = (
    Figure("safety-rules.rules", "rules in force"),
    Figure("safety-rules.shadow_matches", "matches of rules that only count", "counter", label="rule"),
)


class Counts:
    """Counts in the registry of metrics, where there is one."""

    def __init__(self, metrics: Metrics | None) -> None:
        self._metrics = metrics
        if metrics is None:
            return
        self._checks = metrics.counter(
            "tta_safety_rules_checks_total", "texts that were checked", labels=("channel", "level")
        )
        self._findings = metrics.counter(
            "tta_safety_rules_findings_total", "what was found", labels=("category", "level")
        )
        self._kinds = metrics.counter(
            "tta_safety_rules_kinds_total", "kinds of crisis that were named", labels=("kind",)
        )
        self._seconds = metrics.histogram("tta_safety_rules_check_duration_seconds", "how long checks took", "seconds")
        self._loads = metrics.counter(
            "tta_safety_rules_loads_total", "sets of rules, by what became of them", labels=("outcome",)
        )
        self._degraded = metrics.counter("tta_safety_rules_degraded_total", "checks without a head that was due")

    def checked(self, channel: str, judged: Judged, seconds: float) -> None:
        """Count a check."""
        if self._metrics is None:
            return
        verdict = judged.verdict
        self._checks.labels(channel, verdict.level or verdict.status).inc()
        self._seconds.observe(seconds)
        for finding in verdict.findings:
            self._findings.labels(finding.category, finding.level).inc()
        for kind in verdict.kinds:
            self._kinds.labels(kind).inc()
        if "degraded" in verdict.flags:
            self._degraded.inc()

    def loaded(self, rules: int) -> None:
        """Count a set of rules that is in force now."""
        if self._metrics is not None:
            self._loads.labels("loaded").inc()

    def refused(self) -> None:
        """Count a set of rules that can't be used."""
        if self._metrics is not None:
            self._loads.labels("refused").inc()
