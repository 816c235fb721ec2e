from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from tta_diagnostics import DiagnosticsPlugin
from tta_http import HttpPlugin
from tta_kernel import ConfigError, Kernel, KernelSettings, PluginSettings

README = Path(__file__).resolve().parents[1] / "README.md"


def problems(**config: object) -> list[str]:
    settings = KernelSettings(plugins={"diagnostics": PluginSettings(config=config)})
    try:
        Kernel(settings, plugins={"http": HttpPlugin, "diagnostics": DiagnosticsPlugin}).check()
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_the_example_in_the_readme_is_taken() -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)

    assert problems(**msgspec.yaml.decode(example)["plugins"]["diagnostics"]["config"]) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_this_machine_alone_can_ask_without_proof(host: str) -> None:
    assert problems(listeners=[{"host": host}]) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "tta.example"])
def test_an_address_for_others_is_refused_where_nobody_knows_who_asks(host: str) -> None:
    [problem] = problems(listeners=[{"host": host}])

    assert problem.startswith("plugins.diagnostics.config.listeners.0.host: ")
    assert "can be reached from other machines" in problem


def test_what_cannot_be_listened_on_is_told() -> None:
    assert problems(listeners=[])[0].startswith("plugins.diagnostics.config.listeners: nothing would listen")
    [twice] = problems(listeners=[{"port": 1}, {"port": 1}])
    assert "listens where listeners.0 does" in twice
    [unknown] = problems(rates={"reads": {"per_second": 1, "burst": 1}})
    assert "there is no such class; there are probe, read, write, costly" in unknown
