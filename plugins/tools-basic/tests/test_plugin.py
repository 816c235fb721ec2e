from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tta_kernel import State
from tta_kernel.testing import problems, running
from tta_tools import Config as ToolsConfig
from tta_tools.checking import problems as problems_of
from tta_tools_basic import Config, FetchConfig, FilesConfig, ToolsBasic

ALWAYS = [
    "dice.chance:1.0.0", "dice.pick:1.0.0", "dice.roll:1.0.0", "math.add:1.0.0", "math.evaluate:1.0.0",
    "text.statistics:1.0.0", "time.between:1.0.0", "time.convert:1.0.0", "time.now:1.0.0",
]  # fmt: skip
README = Path(__file__).resolve().parents[1] / "README.md"


async def test_it_runs_until_the_kernel_stops() -> None:
    kernel = running(ToolsBasic)
    states: list[State] = []

    async with kernel:
        states.append(kernel.records["tools-basic"].state)
    states.append(kernel.records["tools-basic"].state)

    assert states == [State.RUNNING, State.STOPPED]


def test_tools_that_reach_out_are_there_where_config_says_how_far(tmp_path: Path) -> None:
    everything = Config(fetch=FetchConfig(hosts=("example.org",)), files=FilesConfig(folder=tmp_path))
    for config, more in ((Config(), []), (everything, ["file.read:1.0.0", "web.fetch:1.0.0"])):
        tools = ToolsBasic(config).tools()
        assert sorted(each.spec.id for each in tools) == sorted(ALWAYS + more)
        flags = {each.spec.id: each.spec.safety_flags for each in tools if each.spec.safety_flags}
        assert flags == {"file.read:1.0.0": ("filesystem",), "web.fetch:1.0.0": ("network",)} if more else not flags
        assert [what for each in tools for what in problems_of(each.spec, ToolsConfig())] == []


@pytest.mark.parametrize(
    ("config", "where", "what"),
    [
        ({"colour": "blue"}, "colour", ""),
        ({"fetch": {"hosts": ["https://example.org"]}}, "fetch.hosts", "is no host"),
        ({"fetch": {"hosts": ["*.*"]}}, "fetch.hosts", "is no host"),
        ({"fetch": {"networks": ["fd12::1/16"]}}, "fetch.networks", "is no network"),
        ({"files": {"folder": "/nowhere/at/all"}}, "files.folder", "is no folder"),
    ],
)
def test_a_config_that_means_nothing_is_refused_before_anything_starts(
    config: dict[str, Any], where: str, what: str
) -> None:
    [problem] = problems(ToolsBasic, config=config)
    assert problem.startswith(f"plugins.tools-basic.config.{where}: {what}")


def test_the_example_in_the_readme_runs() -> None:
    [example] = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
