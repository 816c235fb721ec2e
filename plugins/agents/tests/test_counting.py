"""What is counted of calls, where somebody counts."""

from __future__ import annotations

from tta_agents import AGENTS, AgentsMemory, AgentsPlugin
from tta_agents.testing import Ask, Echo
from tta_agents.testing.echo import ECHO, error_of
from tta_kernel.testing import running, wrong_figures
from tta_metrics import METRICS, MetricsPlugin, prometheus_text


async def test_calls_are_counted_where_somebody_counts() -> None:
    async with running(AgentsPlugin, AgentsMemory, MetricsPlugin) as kernel:
        agents, metrics = kernel.get(AGENTS), kernel.get(METRICS)
        async with agents.serve(Echo()):
            await agents.call(ECHO, Ask("x"), key="a")
            await error_of(agents, {})
        await metrics.catch_up()
        text = prometheus_text(metrics).decode()
    assert 'tta_agents_calls_total{agent="echo",code="ok"} 1\n' in text
    assert 'tta_agents_calls_total{agent="echo",code="bad_request"} 1\n' in text
    assert 'tta_agents_call_duration_seconds_count{agent="echo"} 2\n' in text


async def test_the_figures_are_numbers() -> None:
    async with running(AgentsPlugin, AgentsMemory) as kernel, kernel.get(AGENTS).serve(Echo()):
        assert await wrong_figures(kernel) == []
