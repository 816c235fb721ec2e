from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tta_http import HttpPlugin
from tta_http.testing import Caller
from tta_kernel import NoConfig, Plugin, hookimpl
from tta_kernel.testing import running, until
from tta_metrics import METRICS, OPENMETRICS_TYPE, Metrics, MetricsPlugin, metrics_json, prometheus_text, scrape


class Bell(Plugin[NoConfig]):
    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"rung": 3, "password": "hunter2"}


class Deaf(Plugin[NoConfig]):
    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        raise ValueError("a person's words")


async def test_metrics_are_told_as_json_with_what_plugins_say_and_how_old_that_is() -> None:
    kernel = running(HttpPlugin, MetricsPlugin, Bell, Deaf)
    kernel.secrets.add("hunter2")
    async with kernel:
        metrics = kernel.get(METRICS)
        metrics.histogram("tta_rings_seconds", "rings", labels=("bell",)).labels("big").observe(2.0)
        await until(lambda: 'timestamp_seconds{plugin="bell"}' in prometheus_text(metrics).decode())
        found = await Caller(kernel.hooks).get("/metrics")
    bell = found["plugins"]["bell"]
    assert (bell["snapshot"], bell["error"]) == ({"rung": 3, "password": "<redacted>"}, "")
    assert 0 <= bell["age"] < 5
    assert found["plugins"]["deaf"] == {"snapshot": None, "age": None, "error": "raised ValueError"}
    [rings] = [each for each in found["metrics"] if each["name"] == "tta_rings_seconds"]
    assert rings["type"] == "histogram"
    assert rings["series"][0]["labels"] == {"bell": "big"}
    assert rings["series"][0]["count"] == 1
    assert rings["series"][0]["p95"] == pytest.approx(2.0, rel=1 / 32)


async def test_prometheus_and_openmetrics_are_told_as_they_are_asked_for() -> None:
    async with running(HttpPlugin, MetricsPlugin) as kernel:
        content = await Caller(kernel.hooks).get("/metrics-prom")
        assert b"# TYPE process_cpu_seconds_total counter\n" in content.body
        openmetrics = await scrape(kernel.get(METRICS), OPENMETRICS_TYPE)
        assert openmetrics.endswith(b"# EOF\n")


async def test_who_renders_much_lets_others_have_their_turn() -> None:
    metrics = Metrics(label_sets=5000)
    for name in ("one", "two", "three", "four"):
        family = metrics.gauge(f"tta_{name}", "one of many", labels=("number",))
        family.replace({(str(number),): number for number in range(5000)})
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take_turns)
        body = await scrape(metrics)
        tasks.cancel_scope.cancel()
    assert body.count(b"{number=") == 20_000
    assert turns >= 3


async def test_a_scrape_awaits_no_plugin() -> None:
    class Slow(Plugin[NoConfig]):
        asked = False

        @hookimpl
        async def snapshot(self) -> Mapping[str, Any]:
            Slow.asked = True
            await anyio.sleep_forever()
            raise AssertionError

    async with running(HttpPlugin, MetricsPlugin, Slow) as kernel:
        await until(lambda: Slow.asked)
        with anyio.fail_after(1):
            found = await Caller(kernel.hooks).get("/metrics")
            await Caller(kernel.hooks).get("/metrics-prom")
    assert "slow" not in found["plugins"]


def test_json_of_all_metrics_needs_no_kernel() -> None:
    metrics = Metrics()
    metrics.gauge("tta_load_ratio", "load", "ratio").set(0.5)
    expected = b'{"name":"tta_load_ratio","type":"gauge","help":"load","unit":"ratio","series":[{"value":0.5}]}'
    assert expected in metrics_json(metrics)
