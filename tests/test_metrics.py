"""What a whole deployment counts: clean for Prometheus, alerted on, shown, and explained in the documentation."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import anyio.to_thread
import msgspec
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest

from tta_diagnostics import ADDRESSES
from tta_kernel import Kernel
from tta_kernel.testing import running, until
from tta_metrics import METRICS, OPENMETRICS_TYPE, Metrics, MetricsPlugin, prometheus_text, scrape
from tta_metrics.commands import ALERTS, DASHBOARD, shipped
from tta_orchestration import ORCHESTRATION
from tta_program import load
from tta_program.__main__ import main

TYPE = re.compile(r"^# TYPE (\S+) \S+$", re.MULTILINE)
NAME = re.compile(r"\b(?:tta|process)_[a-z_]+[a-z]\b")
QUICK = {"TTA__PLUGINS__METRICS__CONFIG__INTERVAL": "20ms"}


@pytest.fixture(scope="module")
def scrapes() -> tuple[str, str]:
    """Play two turns in everything that is installed, and scrape it, for Prometheus and as OpenMetrics."""
    root = Path(__file__).resolve().parents[1]

    async def play() -> tuple[str, str]:
        async with Kernel(load(root / "config", "testing", QUICK)) as kernel:
            for text in ("look around", "go to the harbour"):
                await kernel.get(ORCHESTRATION).process_user_input(text, "s")
            await anyio.to_thread.run_sync(urlopen, f"{kernel.get(ADDRESSES)[0]}/livez")
            metrics = kernel.get(METRICS)
            await metrics.catch_up()
            # Figures are read in the background.
            await until(lambda: b"\ntta_sessions_commits_total 2\n" in prometheus_text(metrics))
            return (await scrape(metrics)).decode(), (await scrape(metrics, OPENMETRICS_TYPE)).decode()

    return anyio.run(play)


@pytest.fixture
def promtool() -> str:
    """Return the program that comes with Prometheus and checks what is meant for it."""
    found = shutil.which("promtool")
    if found is None:
        missing = "promtool, which is part of Prometheus, is not installed"
        if os.environ.get("CI") or os.environ.get("TTA_TESTS_REQUIRE_SERVERS") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def said(command: list[str], given: str = "", folder: Path | None = None) -> tuple[int, str]:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, cwd=folder)
    return done.returncode, done.stdout + done.stderr


def test_promtool_finds_nothing_wrong(promtool: str, scrapes: tuple[str, str]) -> None:
    assert said([promtool, "check", "metrics"], scrapes[0]) == (0, "")


def test_turns_runs_steps_and_calls_are_counted(scrapes: tuple[str, str]) -> None:
    text, _ = scrapes
    for line in (
        'tta_orchestration_turns_total{outcome="story"} 2',
        "tta_orchestration_turn_duration_seconds_count 2",
        'tta_workflows_runs_total{workflow="turn",status="done"} 2',
        'tta_workflows_run_duration_seconds_count{workflow="turn"} 2',
        'tta_workflows_steps_total{agent="narrative-generator",status="done"} 2',
        'tta_workflows_step_duration_seconds_count{agent="narrative-generator"} 2',
        'tta_agents_calls_total{agent="narrative-generator",code="ok"} 2',
        'tta_agents_call_duration_seconds_count{agent="narrative-generator"} 2',
        'tta_http_answers_total{route="/livez",status="200"} 1',
        'tta_plugin_up{plugin="orchestration"} 1',
    ):
        assert f"\n{line}\n" in text


def test_no_person_s_words_are_in_a_scrape(scrapes: tuple[str, str]) -> None:
    assert "harbour" not in scrapes[0]
    assert "look" not in re.sub(r"^#.*$", "", scrapes[0], flags=re.MULTILINE)


def test_openmetrics_tells_the_same(scrapes: tuple[str, str]) -> None:
    text, openmetrics = scrapes
    counters = {name.removesuffix("_total") for name in TYPE.findall(text)}
    assert counters == {*TYPE.findall(openmetrics)}
    assert openmetrics.endswith("\n# EOF\n")


def test_each_alert_fires_where_it_should_and_nowhere_else(promtool: str, root: Path, tmp_path: Path) -> None:
    rules = shipped(ALERTS)
    (tmp_path / ALERTS).write_text(rules)
    tests = (root / "tests/alerts_test.yaml").read_text()
    (tmp_path / "alerts_test.yaml").write_text(tests)
    code, text = said([promtool, "test", "rules", "alerts_test.yaml"], folder=tmp_path)
    assert code == 0, text
    alerts = {rule["alert"] for group in msgspec.yaml.decode(rules)["groups"] for rule in group["rules"]}
    assert alerts == {*re.findall(r"alertname(?:=\"|: )(Tta\w+)", tests)}


def test_the_dashboard_asks_for_what_prometheus_can_answer(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(panels())]
    (tmp_path / "rules.yaml").write_bytes(msgspec.yaml.encode({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert len(rules) > 15
    code, text = said([promtool, "check", "rules", "rules.yaml"], folder=tmp_path)
    assert code == 0, text


def panels() -> list[str]:
    """Return what the dashboard's panels ask for, as Grafana would ask."""
    targets = [target for panel in json.loads(shipped(DASHBOARD))["panels"] for target in panel["targets"]]
    return [re.sub(r"\$__\w+", "5m", target["expr"]).replace("$instance", ".*") for target in targets]


@pytest.mark.parametrize("what", ["alerts", "dashboard"])
def test_alerts_and_dashboard_ask_for_metrics_that_there_are(what: str, scrapes: tuple[str, str]) -> None:
    there = {*TYPE.findall(scrapes[0])}
    asked = panels() if what == "dashboard" else re.findall(r"expr: ((?:\|\n(?: {10,}.*\n)+)|.*)", shipped(ALERTS))
    names = {re.sub("_bucket$", "", name) for text in asked for name in NAME.findall(text)}
    assert len(names) > 10
    assert sorted(names - there) == []


@pytest.mark.parametrize("what", ["alerts", "dashboard"])
def test_a_command_prints_what_is_shipped(what: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["metrics", what, "--config", str(root / "config"), "--env", "testing"])
    assert (code, capsys.readouterr().out) == (0, shipped({"alerts": ALERTS, "dashboard": DASHBOARD}[what]))


def test_each_metric_is_explained_in_the_documentation(root: Path, scrapes: tuple[str, str]) -> None:
    page = (root / "docs/metrics.md").read_text()
    assert sorted(name for name in TYPE.findall(scrapes[0]) if f"`{name}" not in page) == []
    assert sorted({*re.findall(r"alert: (\w+)", shipped(ALERTS))} - {*re.findall(r"`(Tta\w+)`", page)}) == []


def code_of(root: Path, number: int) -> dict[str, Any]:
    """Run a piece of Python of the page, and return what it defines."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (root / "docs/metrics.md").read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(blocks[number], "docs/metrics.md", "exec", dont_inherit=True), names)
    return names


async def test_the_plugin_of_the_page_counts(root: Path) -> None:
    page = code_of(root, 0)
    async with running(MetricsPlugin, {"bell-tower": page["BellTower"]}) as kernel:
        kernel.events.publish(page["BellRung"](bell="big", seconds=2.0))
        metrics = kernel.get(METRICS)
        await metrics.catch_up()
        text = prometheus_text(metrics).decode()
    for line in (
        "tta_bell_tower_visitors_total 1",
        "tta_bell_tower_ropes 3",
        'tta_bell_tower_ring_duration_seconds_count{bell="big"} 1',
    ):
        assert f"\n{line}\n" in text


def test_the_other_collectors_of_the_page_read_the_registry(root: Path) -> None:
    metrics = Metrics()
    metrics.counter("tta_bells_total", "bells").inc(3)
    registry, reader = CollectorRegistry(), InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    code_of(root, 1)["connect"](metrics, registry, provider)
    assert b"\ntta_bells_total 3.0\n" in generate_latest(registry)
    assert "tta_bells" in str(reader.get_metrics_data())
    provider.shutdown()
