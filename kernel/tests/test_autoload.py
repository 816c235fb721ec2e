"""Which installed plugins run unasked, and the plugins that a host brings along."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tta_kernel import ConfigError, Kernel, KernelSettings, Plugin, PluginSettings, Service
from tta_program import reload
from tta_program.__main__ import main

Ship = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("nothing_installed")
SERVER = """
from tta_kernel import Plugin, NoConfig, Service
KEY = Service("key")
class Server(Plugin[NoConfig]):
    autoload = False
    provides = (KEY,)
class Near(Server):
    autoload = True
class User(Plugin[NoConfig]):
    requires = (KEY,)
"""


def states(kernel: Kernel) -> dict[str, str]:
    return {name: record.state for name, record in kernel.records.items()}


# autoload


def test_a_class_that_says_so_runs_only_where_it_is_named(ship: Ship) -> None:
    ship("one-srv", "server = one_srv:Server", SERVER)
    assert states(Kernel(KernelSettings())) == {"server": "disabled"}
    assert states(Kernel(KernelSettings(plugins={"server": PluginSettings()}))) == {"server": "ready"}
    off = KernelSettings(plugins={"server": PluginSettings(enabled=False)})
    assert states(Kernel(off)) == {"server": "disabled"}


def test_a_subclass_may_say_otherwise(ship: Ship) -> None:
    ship("two-srv", "near = two_srv:Near", SERVER)
    assert states(Kernel(KernelSettings())) == {"near": "ready"}


def test_what_needs_a_plugin_that_nobody_named_is_told_how_to_switch_it_on(ship: Ship) -> None:
    ship("three-srv", "server = three_srv:Server\nuser = three_srv:User", SERVER)
    with pytest.raises(ConfigError) as caught:
        Kernel(KernelSettings())
    assert str(caught.value) == (
        "plugin 'user': requires Service('key') of 'server', which is disabled; "
        "enable it (runs only where config names it: plugins.server: {enabled: true}), or disable what needs it"
    )


def test_the_reason_says_how_to_switch_it_on(ship: Ship) -> None:
    ship("four-srv", "server = four_srv:Server", SERVER)
    unnamed = Kernel(KernelSettings()).records["server"]
    assert unnamed.reason == "runs only where config names it: plugins.server: {enabled: true}"
    off = Kernel(KernelSettings(plugins={"server": PluginSettings(enabled=False)})).records["server"]
    assert off.reason == ""


def test_tta_plugins_says_why_it_does_not_run(
    ship: Ship, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ship("five-srv", "server = five_srv:Server", SERVER)
    monkeypatch.chdir(tmp_path)
    assert main(["plugins"]) == 0
    [line] = [it for it in capsys.readouterr().out.splitlines() if it.startswith("server ")]
    assert " disabled " in line
    assert line.endswith(" runs only where config names it: plugins.server: {enabled: true}")


def test_what_is_disabled_or_not_named_is_not_imported(ship: Ship) -> None:
    ship("six-srv", "server = six_srv:Server", "raise RuntimeError('imported')")
    off = KernelSettings(plugins={"server": PluginSettings(enabled=False)})
    for settings in (off, KernelSettings(autoload=False)):
        assert states(Kernel(settings)) == {"server": "disabled"}
    assert "six_srv" not in sys.modules


def test_where_autoload_is_off_the_reason_says_how_to_switch_it_on(ship: Ship) -> None:
    ship("seven-srv", "near = seven_srv:Near", SERVER)
    record = Kernel(KernelSettings(autoload=False)).records["near"]
    assert record.reason == "runs only where config names it: plugins.near: {enabled: true}"


# A host's own


KEY = Service[str]("mine")


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    word: str = "mine"


class Mine(Plugin[Config]):
    provides = (KEY,)
    autoload = False

    @asynccontextmanager
    async def lifespan(self, ctx: Any) -> Any:
        ctx.provide(KEY, self.config.word)
        yield

    async def prepare(self, config: Config) -> Callable[[], None]:
        return lambda: None


INSTALLED = """
from tta_kernel import Plugin, NoConfig
class Other(Plugin[NoConfig]):
    pass
"""


def test_without_being_told_so_the_host_s_plugins_replace_what_is_installed(ship: Ship) -> None:
    ship("one-own", "other = one_own:Other", INSTALLED)
    assert states(Kernel(plugins={"mine": Mine})) == {"mine": "ready"}
    assert states(Kernel(plugins={})) == {}


async def test_a_host_s_plugin_stands_beside_the_installed_ones(ship: Ship) -> None:
    ship("two-own", "other = two_own:Other", INSTALLED)
    settings = KernelSettings(plugins={"mine": PluginSettings(config={"word": "x"})})
    async with Kernel(settings, plugins={"mine": Mine}, installed=True) as kernel:
        assert states(kernel) == {"mine": "running", "other": "running"}
        assert kernel.get(KEY) == "x"


def test_a_host_s_plugin_replaces_the_installed_one_of_its_name(ship: Ship) -> None:
    ship("three-own", "other = three_own:Other", "raise RuntimeError('imported')")
    kernel = Kernel(plugins={"other": Mine}, installed=True)
    assert kernel.records["other"].cls is Mine
    assert kernel.records["other"].found.distribution == ""
    assert "three_own" not in sys.modules


def test_a_name_that_two_distributions_claim_is_no_problem_where_the_host_takes_it(ship: Ship) -> None:
    ship("four-own", "other = four_own:Other", INSTALLED)
    ship("five-own", "other = five_own:Other", INSTALLED)
    with pytest.raises(ConfigError, match="both five-own and four-own install"):
        Kernel(plugins={"mine": Mine}, installed=True)
    assert states(Kernel(plugins={"other": Mine}, installed=True)) == {"other": "ready"}


def test_a_host_s_plugin_and_an_installed_one_that_provide_one_service_are_a_problem(ship: Ship) -> None:
    code = "from tta_kernel import Plugin, NoConfig\nimport importlib\nclass Other(Plugin[NoConfig]): pass\n"
    ship("six-own", "other = six_own:Other", code)
    other = Kernel(KernelSettings()).records["other"].cls
    other.provides = (KEY,)
    with pytest.raises(ConfigError) as caught:
        Kernel(plugins={"mine": Mine}, installed=True)
    assert [str(problem) for problem in caught.value.problems] == [
        "plugin 'other': provides Service('mine'), and so does 'mine'; disable one of them"
    ]


@pytest.mark.parametrize("installed", [True, False])
def test_a_host_s_plugin_runs_unless_a_section_turns_it_off(ship: Ship, installed: bool) -> None:
    ship("seven-own", "other = seven_own:Other", INSTALLED)
    named = KernelSettings(autoload=False)
    assert states(Kernel(named, plugins={"mine": Mine}, installed=installed))["mine"] == "ready"
    off = KernelSettings(plugins={"mine": PluginSettings(enabled=False)})
    assert states(Kernel(off, plugins={"mine": Mine}, installed=installed))["mine"] == "disabled"


def test_a_misspelt_section_of_a_host_s_plugin_is_a_problem(ship: Ship) -> None:
    ship("eight-own", "other = eight_own:Other", INSTALLED)
    settings = KernelSettings(plugins={"mien": PluginSettings()})
    with pytest.raises(ConfigError, match=r"plugins\.mien: no plugin of that name is installed; did you mean 'mine'\?"):
        Kernel(settings, plugins={"mine": Mine}, installed=True)


async def test_a_reload_finds_the_host_s_plugins_again(ship: Ship) -> None:
    ship("nine-own", "other = nine_own:Other", INSTALLED)
    async with Kernel(plugins={"mine": Mine}, installed=True) as kernel:
        new = KernelSettings(plugins={"mine": PluginSettings(config={"word": "y"})})
        done = await reload(kernel, new)
        assert (done.changed, done.restart_needed) == (["mine"], [])
