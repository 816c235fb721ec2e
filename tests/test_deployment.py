"""The page for operators: what it shows can be used as it stands, and production keeps nothing in memory."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import msgspec
import pytest

from tta_kernel import Kernel
from tta_kernel.errors import ConfigError, Problem
from tta_program import load
from tta_program.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
SHOWN = re.findall(r"^ *```yaml\n(.*?)^ *```$", (ROOT / "docs/deployment.md").read_text(), re.MULTILINE | re.DOTALL)

REPLICATED = ("messages-redis", "sessions-redis")


def problems(folder: Path, environ: dict[str, str]) -> list[Problem]:
    try:
        Kernel(load(folder, "production", environ)).check()
    except ConfigError as error:
        return list(error.problems)
    return []


def merged(below: object, above: object) -> object:
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: merged(below.get(key), value) for key, value in above.items()}
    return above


@pytest.fixture(params=SHOWN, ids=lambda block: " ".join(re.findall(r"url|sentinel|cluster|tls|roster", block)))
def shown(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Lay a block of the page over production."""
    (tmp_path / "base.yaml").write_bytes((ROOT / "config/base.yaml").read_bytes())
    shutil.copytree(ROOT / "config/workflows", tmp_path / "workflows")
    production = msgspec.yaml.decode((ROOT / "config/production.yaml").read_bytes())
    block = msgspec.yaml.decode(request.param)
    (tmp_path / "production.yaml").write_bytes(msgspec.yaml.encode(merged(production, block)))
    return tmp_path


@pytest.mark.parametrize("environ", [{}, {"TTA_REDIS_PASSWORD": "a", "TTA_SENTINEL_PASSWORD": "b"}])
def test_what_the_page_shows_can_be_added_to_production(shown: Path, environ: dict[str, str]) -> None:
    assert [problem for problem in problems(shown, environ) if not problem.deployment_only] == []


def test_what_the_page_shows_passes_a_check_that_has_no_secrets(
    shown: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("TTA_")]:
        monkeypatch.delenv(name)
    code = main(["check", "--config", str(shown), "--env", "production", "--no-secrets"])
    assert (code, capsys.readouterr().out.splitlines()[-1].endswith("plugins are ready to start")) == (0, True)


def test_where_the_page_waits_for_replicas_stories_wait_as_messages_do() -> None:
    plugins = [msgspec.yaml.decode(block)["plugins"] for block in SHOWN]
    waits = [[it.get(name, {}).get("config", {}).get("wait_replicas") for name in REPLICATED] for it in plugins]
    assert [each for each in waits if any(each)] == [[1, 1], [1, 1]]


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_nothing_that_must_outlive_a_process_is_kept_in_memory(environment: str) -> None:
    states = {name: record.state for name, record in Kernel(load(ROOT / "config", environment, {})).records.items()}
    memory = {name for name in states if name.endswith("-memory")}
    assert memory
    assert {states[name] for name in memory} == {"disabled"}
    assert {states[f"{name}-redis"] for name in ("agents", "messages", "sessions")} == {"ready"}


@pytest.mark.parametrize("environment", ["development", "testing"])
def test_where_everything_installed_runs_nothing_needs_a_server(environment: str) -> None:
    states = {name: record.state for name, record in Kernel(load(ROOT / "config", environment, {})).records.items()}
    assert {states[name] for name in states if "redis" in name} == {"disabled"}
