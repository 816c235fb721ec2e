"""Settings from code lie above files and variables, and are told apart from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from msgspec import Struct

from tta_kernel import ConfigError, Duration, Kernel, Plugin, PluginSettings, Secret
from tta_kernel.settings import unknown_plugins
from tta_kernel.units import EXAMPLES
from tta_program import load, reload
from tta_program.effective import Entry, entries


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    url: str = ""
    names: list[str] = []
    wait: Duration = 1.0
    password: Secret = ""
    table: dict[str, int] = {}


class Store(Plugin[Config]):
    async def prepare(self, config: Config) -> Callable[[], None]:
        return lambda: None


pytestmark = pytest.mark.usefixtures("nothing_installed")
VARIABLE = "TTA__PLUGINS__STORE__CONFIG__URL"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = "{url: a, names: [a], password: {file: pw}, table: {a: 1}}"
    (tmp_path / "base.yaml").write_text(f"kernel: {{stop_timeout: 5s}}\nplugins: {{store: {{config: {config}}}}}\n")
    (tmp_path / "development.yaml").write_text("")
    return tmp_path


def store(**config: Any) -> Mapping[str, Any]:
    return {"plugins": {"store": {"config": config}}}


def problems(folder: Path, overrides: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, environ={}, overrides=overrides).decode("store", Config)
    return [str(problem) for problem in caught.value.problems]


def test_overrides_lie_above_files_and_variables(folder: Path) -> None:
    overrides = {"kernel": {"stop_timeout": 7, "log_level": "debug"}, **store(url="c", names=["b"], table={"b": 2})}
    settings = load(folder, environ={VARIABLE: "b"}, overrides=overrides)
    assert (settings.stop_timeout, settings.log_level) == (7, "debug")
    assert settings.plugins["store"].config == {
        "url": "c",
        "names": ["b"],
        "password": {"file": "pw"},
        "table": {"a": 1, "b": 2},
    }


def test_overrides_name_a_plugin_and_say_whether_it_runs(folder: Path) -> None:
    overrides = {"plugins": {"store": {"enabled": False}, "other": {"required": False}, "third": None}}
    plugins = load(folder, environ={}, overrides=overrides).plugins
    assert not plugins["store"].enabled
    assert plugins["store"].config["url"] == "a"
    assert plugins["other"] == PluginSettings(required=False)
    assert plugins["third"] == PluginSettings()


def test_overrides_need_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(environ={}, overrides={"kernel": {"stop_timeout": "7s"}})
    assert settings.stop_timeout == 7


def test_a_layer_is_named_even_where_the_folder_is_missing(tmp_path: Path) -> None:
    said = problems(tmp_path / "missing", {"kernel": {"autoload": 5}})
    assert said[1] == "overrides: kernel.autoload: expected true or false, got int"


def test_overrides_may_be_any_mapping_and_any_sequence(folder: Path) -> None:
    wrong = MappingProxyType({"plugins": MappingProxyType({"store": MappingProxyType({"config": {"names": "ab"}})})})
    assert "names: expected a list, got str" in problems(folder, wrong)[0]
    settings = load(folder, environ={}, overrides=MappingProxyType(dict(store(names=("b", "c"), password="x"))))
    assert settings.decode("store", Config).names == ["b", "c"]


def test_a_secret_in_overrides_replaces_a_reference_and_is_hidden(folder: Path) -> None:
    settings = load(folder, environ={}, overrides=store(password="hunter2"))
    config = settings.decode("store", Config)
    assert config.password == "hunter2"
    assert "hunter2" not in repr((settings, config, entries(settings, {"store": Config})))
    assert settings.source.secrets == {"hunter2"}


def test_what_is_wrong_with_overrides_is_told_with_their_name(folder: Path) -> None:
    assert problems(folder, {"kernel": {"stop_timout": 1}, "plugin": {}}) == [
        "overrides: plugin: unknown key; did you mean 'plugins'?",
        "overrides: kernel.stop_timout: unknown key; did you mean 'stop_timeout'?",
    ]
    assert problems(folder, store(url=5, wait="soon", password="x", ulr=1)) == [
        "overrides: plugins.store.config.ulr: unknown key; did you mean 'url'?",
        "overrides: plugins.store.config.url: expected str, got int; put it in quotes",
        f"overrides: plugins.store.config.wait: expected {EXAMPLES['seconds']}",
    ]


@pytest.mark.parametrize("wrong", [["plugins"], "plugins", 5])
def test_overrides_that_are_no_mapping_are_a_problem(folder: Path, wrong: Any) -> None:
    assert problems(folder, wrong) == ["overrides: expected a mapping with the keys kernel and plugins"]


def test_an_unknown_plugin_in_overrides_is_a_problem_with_a_suggestion(folder: Path) -> None:
    settings = load(folder, environ={}, overrides={"plugins": {"sture": {}}})
    [problem] = unknown_plugins(settings, ["store"])
    assert str(problem) == "overrides: plugins.sture: no plugin of that name is installed; did you mean 'store'?"


def test_the_config_in_force_names_overrides_as_a_layer(folder: Path) -> None:
    settings = load(folder, environ={VARIABLE: "b"}, overrides={"kernel": {"stop_timeout": 60}, **store(url="c")})
    shown = entries(settings, {"store": Config})
    assert Entry("kernel.stop_timeout", "1m", "overrides") in shown
    assert Entry("plugins.store.config.url", "c", "overrides") in shown
    assert Entry("plugins.store.config.names", ["a"], f"{folder}/base.yaml") in shown


async def test_a_reload_keeps_overrides_as_they_were(folder: Path) -> None:
    (folder / "pw").write_text("x")
    config = {"url": "c"}
    kernel = Kernel(
        load(folder, environ={}, overrides={"plugins": {"store": {"config": config}}}), plugins={"store": Store}
    )
    async with kernel:
        config["url"] = "d"
        (folder / "base.yaml").write_text("plugins: {store: {config: {url: b, names: [b]}}}")
        assert (await reload(kernel)).changed == ["store"]
        plugin = kernel.records["store"].plugin
        assert plugin is not None
        assert (plugin.config.url, plugin.config.names) == ("c", ["b"])


def holding_itself(kind: str) -> Any:
    mapping: dict[str, Any] = {}
    mapping["a"] = mapping if kind == "mapping" else [mapping]
    return mapping


@pytest.mark.parametrize("kind", ["mapping", "list"])
def test_overrides_that_hold_themselves_are_a_problem(folder: Path, kind: str) -> None:
    what = "overrides: more than 50 mappings and lists lie in each other"
    assert problems(folder, store(table=holding_itself(kind))) == [what]
