"""The page on services, hooks, events and commands: its examples run, and it leaves nothing out."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from tta_kernel import Context, Plugin
from tta_kernel.hookspecs import snapshot
from tta_kernel.testing import published, running, until, wrong_figures
from tta_program import Subcommands

NAMES = ["tta_tides", "tta_bell", "tta_harbour_hooks", "tta_harbour", "tta_gauge", "tta_tide_command"]


@pytest.fixture
def page(root: Path) -> str:
    return (root / "docs/services-hooks-events.md").read_text(encoding="utf-8")


@pytest.fixture
def modules(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """Write each example to the file that its first line names, and import them."""
    for name, code in re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL):
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield {name: importlib.import_module(name) for name in NAMES}
    for name in NAMES:
        del sys.modules[name]


def test_each_example_is_tried_here(page: str) -> None:
    assert re.findall(r"^```python\n# (\w+)\.py$", page, flags=re.MULTILINE) == NAMES
    assert page.count("```python") == len(NAMES)


async def test_the_service_is_provided(modules: dict[str, ModuleType]) -> None:
    tides = modules["tta_tides"]
    async with running(tides.TidesPlugin) as kernel:
        assert await kernel.get(tides.TIDES).height(7) == 1.0


async def test_the_event_is_published_again_and_again_and_heard(modules: dict[str, ModuleType]) -> None:
    tides, bell = modules["tta_tides"], modules["tta_bell"]
    async with running(bell.Watch, bell.Bell, tides.TidesPlugin, config={"every": "1ms"}) as kernel:
        with published(kernel, bell.TideTurned) as events:
            heights = {(await events.next()).height for _ in range(2)}
        ringing: Any = kernel.records["bell"].plugin
        await until(lambda: ringing.rung >= 2)
    assert heights == {1.0, 3.5}


async def test_the_hook_is_asked_and_silence_means_no(modules: dict[str, ModuleType]) -> None:
    harbour = modules["tta_harbour"]
    async with running(harbour.Harbour, harbour.Fog) as kernel:
        pier = kernel.get(harbour.PIER)
        assert [await pier.sails("lifeboat"), await pier.sails("trawler")] == [True, False]
    async with running(harbour.Harbour) as kernel:
        assert await kernel.get(harbour.PIER).sails("trawler")


async def test_the_figures_are_numbers_in_the_snapshot(modules: dict[str, ModuleType]) -> None:
    async with running(modules["tta_gauge"].Gauge, modules["tta_tides"].TidesPlugin) as kernel:
        assert await wrong_figures(kernel) == []
        answer: Any = (await kernel.ask(snapshot))["gauge"]
    assert (answer["gauge.readings"], answer["gauge.height"]) == (2, {"0": 3.5, "6": 1.0})


async def test_the_command_shows_what_it_asked_for(
    modules: dict[str, ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    command = modules["tta_tide_command"].TideCommand
    parser = argparse.ArgumentParser()
    async with running(command, modules["tta_tides"].TidesPlugin) as kernel:
        plugin: Any = kernel.records["tide-command"].plugin
        plugin.register_commands(Subcommands(parser))
        options = parser.parse_args(["tides", "show", "7"])
        assert await options.command.run(kernel, options) == 0
    assert capsys.readouterr().out == "1 m\n"


class Shelf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    places: dict[str, int] = msgspec.field(default_factory=lambda: {"top": 1, "bottom": 2})


class Library(Plugin[Shelf]):
    pass


async def test_a_configured_mapping_replaces_the_default_as_a_whole() -> None:
    async with running(Library, config={"places": {"top": 9}}) as kernel:
        plugin: Any = kernel.records["library"].plugin
        assert plugin.config.places == {"top": 9}


@pytest.mark.parametrize("of", [Plugin, Context])
def test_every_public_name_is_in_the_tables(page: str, of: type) -> None:
    stored = re.findall(r"^        self\.([a-z]\w*) = ", inspect.getsource(of), flags=re.MULTILINE)
    public = {name for name in vars(of) if not name.startswith("_")} | set(stored)

    rows = "\n".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| "))
    assert public - set(re.findall(r"`(\w+)", rows)) == set()
