from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from tta_kernel import Figure, Kernel, NoConfig, Plugin, hookimpl
from tta_kernel.testing import problems, running, until
from tta_metrics import METRICS, MetricsPlugin, prometheus_text

FAST = {"metrics": {"interval": "20ms", "stale_after": "100ms"}}


def text(kernel: Kernel) -> str:
    return prometheus_text(kernel.get(METRICS)).decode()


class Gauge(Plugin[NoConfig]):
    """Says what it is told to."""

    answer: ClassVar[Any]

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return (
            Figure("gauge.readings", "how often it was read", "counter"),
            Figure("gauge.height", "of the water", unit="metres", label="hour"),
            Figure("gauge.wait", "a unit that is none", unit="ms"),
        )

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        if isinstance(self.answer, Exception):
            raise self.answer
        found: Mapping[str, Any] = self.answer
        return found


def saying(what: object) -> type[Gauge]:
    return type("Saying", (Gauge,), {"answer": what})


def test_an_unknown_key_is_refused_before_anything_starts() -> None:
    [problem] = problems(MetricsPlugin, config={"colour": "blue"})
    assert problem.startswith("plugins.metrics.config.colour: ")


async def test_what_any_process_has_is_there_at_once() -> None:
    async with running(MetricsPlugin) as kernel:
        found = text(kernel)
        assert "\ntta_build_info{" in found
        assert "\nprocess_cpu_seconds_total " in found
        assert "\nprocess_resident_memory_bytes " in found
        await until(lambda: 'tta_plugin_up{plugin="metrics"} 1\n' in text(kernel))
        assert 'tta_plugins{state="running"} 1\n' in text(kernel)
        await until(lambda: "tta_event_loop_lag_seconds_count 0\n" not in text(kernel))


async def test_figures_of_plugins_are_metrics_and_what_is_none_is_left_out() -> None:
    tide = {"gauge.readings": 3, "gauge.height": {"6": 3.5, "12": "high", "18": True}, "gauge.wait": 1, "x": "y"}
    async with running(MetricsPlugin, {"gauge": saying(tide)}, configs=FAST) as kernel:
        await until(lambda: "tta_gauge_readings_total 3\n" in text(kernel))
        found = text(kernel)
    assert [line for line in found.splitlines() if line.startswith("tta_gauge")] == [
        'tta_gauge_height_metres{hour="6"} 3.5',
        "tta_gauge_readings_total 3",
    ]
    assert 'tta_snapshot_timestamp_seconds{plugin="gauge"} ' in found


@pytest.mark.parametrize(
    "answer",
    [ValueError("of a person"), {"much": "x" * 200_000}, {"gauge.readings": object()}],
    ids=["raises", "much", "an object"],
)
async def test_the_last_numbers_stay_for_a_while_where_a_snapshot_is_no_use(answer: Any) -> None:
    tide = saying({"gauge.readings": 3})
    async with running(MetricsPlugin, {"gauge": tide}, configs=FAST) as kernel:
        await until(lambda: "tta_gauge_readings_total 3\n" in text(kernel))
        tide.answer = answer
        await until(lambda: 'tta_snapshot_errors_total{plugin="gauge"} 1\n' in text(kernel))
        assert "tta_gauge_readings_total 3\n" in text(kernel)
        await until(lambda: "tta_gauge_readings_total" not in text(kernel))
        tide.answer = {"gauge.readings": 4}
        await until(lambda: "tta_gauge_readings_total 4\n" in text(kernel))


async def test_the_first_that_gives_a_metric_has_it() -> None:
    tin = saying({"gauge.readings": 4, "gauge.height": {}})
    brass = saying({"gauge.readings": 5, "gauge.height": {"6": 1.0}})
    async with running(MetricsPlugin, {"gauge-tin": tin, "gauge-brass": brass}, configs=FAST) as kernel:
        counter = kernel.get(METRICS).counter("tta_own_total", "somebody's own")
        counter.inc()
        await until(lambda: "tta_gauge_height_metres" in text(kernel))
        found = [line for line in text(kernel).splitlines() if line.startswith("tta_gauge_readings_total")]
    assert found in (["tta_gauge_readings_total 4"], ["tta_gauge_readings_total 5"])
