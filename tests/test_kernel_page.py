"""The page on the kernel: the program that it shows runs as it stands."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tta_kernel import Context, NoConfig, Plugin
from tta_kernel.testing import running, strangers
from tta_program import exits


def run_code_of(root: Path, section: str) -> dict[str, Any]:
    """Run the one program of a section, and return its names."""
    page = (root / "docs/kernel.md").read_text(encoding="utf-8")
    text = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    [code] = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "kernel_page"}
    exec(compile(code, "kernel.md", "exec"), names)
    return names


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand where there is no config, so that the one is read that a distribution ships."""
    monkeypatch.chdir(tmp_path)
    for name in ("TTA_ENV", "TTA_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nowhere")
def test_a_host_brings_settings_and_a_plugin_of_its_own(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_code_of(root, "A host of its own")
    assert capsys.readouterr().out == "good evening\nTrue\n"


def test_a_plugin_says_how_it_is(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_code_of(root, "Health and snapshot")
    assert capsys.readouterr().out == "store degraded 7 pages are free\n{'store': {'free': 7}}\n"


def test_settings_come_from_wherever_a_host_keeps_them(root: Path) -> None:
    names = run_code_of(root, "The kernel, and the program around it")
    assert names["settings"].plugins["clock"].config == {"hour": 7}
    names["registry"]["clock"] = {"hour": 8}
    assert names["settings"].read().plugins["clock"].config == {"hour": 8}


@pytest.mark.usefixtures("nowhere")
def test_a_host_watches_its_event_loop(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_code_of(root, "What blocks")
    assert capsys.readouterr().out == "running\n"


async def test_a_handler_that_lets_out_a_cancellation_of_nobodys_is_logged_and_the_next_text_is_handled(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    handle_all = run_code_of(root, "What a stranger's code lets out")["handle_all"]
    handled: list[str] = []
    [odd] = [each for each in strangers() if each.name == "raises a cancellation that nobody asked for"]

    async def handler(text: str) -> None:
        handled.append(text)
        await odd()

    class Listens(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            await handle_all(["one", "two"], handler, ctx)
            yield

    async with running(Listens):
        pass
    assert handled == ["one", "two"]
    assert caplog.text.count("nobody here asked for") == 2


def test_the_table_of_exit_codes_has_each_that_the_program_knows(root: Path) -> None:
    page = (root / "docs/kernel.md").read_text(encoding="utf-8")
    table = page.partition("## Signals and exit codes")[2]
    told = {int(code) for code in re.findall(r"^\| `(\d+)`", table, re.MULTILINE)}
    known = {value for name, value in vars(exits).items() if name.isupper()}
    assert told == known | {128}  # Of a signal, its number is added.
