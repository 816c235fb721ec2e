"""The first page: its code runs as it stands, and the commands that it names are there."""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from tta_agents import AGENTS, AgentId, AgentsMemory, AgentsPlugin
from tta_kernel import Kernel, KernelError, KernelSettings, PluginSettings
from tta_orchestration import ORCHESTRATION, InputError, TurnInput
from tta_program import BlockingKernel, load
from tta_program.__main__ import main
from tta_workflows import Workflow, WorkflowUse
from tta_workflows.check import problems


@pytest.fixture
def readme(root: Path) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def development(root: Path, tmp_path: Path, playable: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand where a reader does, at the top of a tree whose ``development.yaml`` nobody has changed."""
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "base.yaml").write_bytes((root / "config/base.yaml").read_bytes())
    shutil.copytree(root / "config/workflows", folder / "workflows")
    kernel = msgspec.yaml.decode((root / "config/development.yaml").read_bytes())["kernel"]
    layer = {"kernel": kernel, "plugins": playable}
    (folder / "development.yaml").write_bytes(msgspec.yaml.encode(layer))
    monkeypatch.chdir(tmp_path)
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
        reply = await kernel.get(AGENTS).call(AgentId("tide"), {"turn": 3}, key="k")
    assert reply.output == {"text": "the bay is rising"}


def test_the_plugin_could_take_part_in_a_turn(tide: ModuleType, readme: str) -> None:
    (step,) = re.findall(r"`(\{id: tide.*?\}\})`", readme)
    turn = msgspec.convert({"steps": [msgspec.yaml.decode(step)], "output": {"text": "steps.tide.text"}}, Workflow)
    use = WorkflowUse("turn", TurnInput, tide.Out)

    assert [*problems({"turn": turn}, {"tide": tide.Tide.spec}, {"orchestration": [use]})] == []


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
def test_a_sync_program_hands_keywords_on_and_hears_of_its_mistakes() -> None:
    kernel = Kernel(load())
    with BlockingKernel(kernel) as blocking:
        orchestration = kernel.get(ORCHESTRATION)
        seeded = functools.partial(orchestration.process_user_input, seed=7)
        assert blocking.call(seeded, "look around", "me").updated_context["seed"] == 7
        with pytest.raises(InputError, match="nothing to read"):
            blocking.call(orchestration.process_user_input, "", "me")
    with pytest.raises(KernelError):
        blocking.call(orchestration.process_user_input, "look around", "me")


@pytest.mark.usefixtures("development")
def test_the_commands_are_those_that_there_are(root: Path, readme: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    offered = set(re.findall(r"^    (\w+)  ", capsys.readouterr().out, flags=re.MULTILINE))
    pages = [readme, *(page.read_text(encoding="utf-8") for page in root.glob("docs/*.md"))]
    pages += [page.read_text(encoding="utf-8") for page in root.glob("plugins/*/README.md")]

    assert set(re.findall(r"^\| `tta (\w+)`", readme, flags=re.MULTILINE)) <= offered
    assert offered <= set(re.findall(r"\btta (\w+)", "".join(pages)))
