"""The first page: its code runs as it stands, and the commands that it names are there."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tta_agents import AGENTS, AgentId, AgentsMemory, AgentsPlugin
from tta_kernel import Kernel, KernelSettings, PluginSettings
from tta_kernel.__main__ import main


@pytest.fixture
def readme(root: Path) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def development(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand at the top of the tree, in the environment that a reader has."""
    monkeypatch.chdir(root)
    monkeypatch.delenv("TTA_ENV", raising=False)
    monkeypatch.delenv("TTA_CONFIG", raising=False)


def blocks(readme: str, heading: str) -> list[str]:
    """Return the Python in the section ``heading``."""
    section = readme.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```python\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def tide(readme: str, tmp_path: Path) -> Iterator[ModuleType]:
    """Import the plugin that the page shows, from a file, as its reader would."""
    (code,) = blocks(readme, "Write a plugin")
    file = tmp_path / "tta_tide.py"
    file.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("tta_tide", file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["tta_tide"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["tta_tide"]


async def test_the_plugin_serves_its_agent_with_its_config(tide: ModuleType) -> None:
    settings = KernelSettings(plugins={"tide": PluginSettings(config={"sea": "the bay"})})
    plugins = {"agents": AgentsPlugin, "agents-memory": AgentsMemory, "tide": tide.Tide}
    async with Kernel(settings, plugins=plugins) as kernel:
        reply = await kernel.get(AGENTS).call(AgentId("tide"), {"hour": 3}, key="k")
    assert reply.output == {"text": "the bay is rising"}


def test_the_plugin_is_about_thirty_lines(readme: str) -> None:
    (code,) = blocks(readme, "Write a plugin")
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 32


@pytest.mark.usefixtures("development")
@pytest.mark.parametrize("which", [0, 1], ids=["async", "sync"])
def test_an_embedded_kernel_plays_a_turn(readme: str, which: int, capsys: pytest.CaptureFixture[str]) -> None:
    code = blocks(readme, "Embed it")[which]
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    told = capsys.readouterr().out
    assert len(told.split()) > 20


@pytest.mark.usefixtures("development")
def test_the_commands_are_those_that_there_are(readme: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    offered = set(re.findall(r"^    (\w+)  ", capsys.readouterr().out, flags=re.MULTILINE))
    assert set(re.findall(r"^\| `tta (\w+)`", readme, flags=re.MULTILINE)) == offered
