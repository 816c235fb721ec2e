"""Where settings come from: files, variables, folders that a distribution ships."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tta_kernel import ConfigError, PluginSettings
from tta_program import LayeredSettings, load
from tta_program.config import read

from .common import (
    Limits,
    Store,
    Write,
    load_problem,
)


def test_without_any_folder_the_defaults_hold() -> None:
    assert load(environ={}) == read(None, "development", {})[0]
    settings = load(environ={})
    assert (settings.autoload, settings.start_timeout, settings.stop_timeout) == (True, 30, 10)
    assert (settings.log_level, settings.log_format, settings.plugins) == ("info", "auto", {})


def test_without_any_folder_the_only_environment_is_development() -> None:
    problem = load_problem(None, "production")
    assert "'production'" in problem
    assert "without a config folder" in problem
    assert "TTA_CONFIG" in problem


def test_the_environment_s_file_is_laid_over_base(write: Write) -> None:
    folder = write(
        base="kernel: {start_timeout: 5s, stop_timeout: 7}\n"
        "plugins: {store: {config: {limits: {per_minute: 1, pause: 2}, rules: [{}, {}]}}}",
        production="kernel: {start_timeout: 1m}\n"
        "plugins: {store: {required: false, config: {limits: {pause: 3}, rules: [{}]}}}",
    )
    settings = load(folder, "production", {})
    assert (settings.start_timeout, settings.stop_timeout) == (60, 7)
    assert settings.plugins["store"] == PluginSettings(
        required=False, config={"limits": {"per_minute": 1, "pause": 3}, "rules": [{}]}
    )


def test_a_section_with_nothing_behind_it_names_the_plugin_and_keeps_what_lies_below(
    write: Write,
) -> None:
    folder = write(
        base="kernel:\nplugins: {store: {config: {url: x}}}",
        development="plugins:\n  store:\n  other: {config: }\n",
    )
    plugins = load(folder, None, {}).plugins
    assert plugins == {"store": PluginSettings(config={"url": "x"}), "other": PluginSettings()}


def test_a_scalar_replaces_a_mapping_and_a_mapping_a_scalar(write: Write) -> None:
    folder = write(
        base="plugins: {store: {config: {a: {b: 1}, c: 1}}}",
        development="plugins: {store: {config: {a: 2, c: {d: 3}}}}",
    )
    assert load(folder, None, {}).plugins["store"].config == {"a": 2, "c": {"d": 3}}


def test_environment_variables_lie_above_the_files(write: Write) -> None:
    folder = write(base="kernel: {autoload: true}\nplugins: {big-store: {config: {url: a, retries: 1}}}")
    environ = {
        "TTA__KERNEL__AUTOLOAD": "false",
        "TTA__PLUGINS__BIG_STORE__CONFIG__URL": "b",
        "TTA__PLUGINS__BIG_STORE__CONFIG__LIMITS__PER_MINUTE": "7",
        "TTA__PLUGINS__BIG_STORE__REQUIRED": "no",
        "TTA_OTHER": "x",
    }
    settings = load(folder, None, environ)
    store = settings.decode("big-store", Store)
    assert not settings.autoload
    assert not settings.plugins["big-store"].required
    assert (store.url, store.retries, store.limits.per_minute) == ("b", 1, 7)


def test_a_variable_may_hold_a_whole_section(write: Write) -> None:
    folder = write(base="plugins: {store: {config: {url: a, retries: 1}}}")
    environ = {"TTA__PLUGINS__STORE": "{required: false, config: {retries: 2}}"}
    expected = PluginSettings(required=False, config={"url": "a", "retries": 2})
    assert load(folder, None, environ).plugins["store"] == expected


def test_a_mapping_in_a_variable_is_merged_like_one_in_a_file(write: Write) -> None:
    folder = write(base="plugins: {store: {config: {url: a, limits: {per_minute: 5}, by_name: {x: {per_minute: 1}}}}}")
    environ = {
        "TTA__PLUGINS__STORE__CONFIG__LIMITS": "{pause: 2s}",
        "TTA__PLUGINS__STORE__CONFIG__BY_NAME": "{y: {per_minute: 2}}",
        "TTA__PLUGINS__STORE__CONFIG__BY_NAME__Y__PAUSE": "3s",
    }
    store = load(folder, None, environ).decode("store", Store)
    assert store.limits == Limits(5, 2.0)
    assert store.by_name == {"x": Limits(1), "y": Limits(2, 3.0)}


def test_a_mistake_in_a_variable_s_mapping_is_told_with_the_variable() -> None:
    environ = {"TTA__PLUGINS__STORE__CONFIG__LIMITS": "{per_minute: 0}"}
    with pytest.raises(
        ConfigError, match=r"TTA__PLUGINS__STORE__CONFIG__LIMITS: plugins\.store\.config\.limits\.per_minute"
    ):
        load(environ=environ).decode("store", Store)


@pytest.mark.parametrize("below", ["abc", "{file: nowhere}"])
def test_a_secret_in_a_variable_is_what_is_written_though_it_looks_like_a_mapping(write: Write, below: str) -> None:
    folder = write(base=f"plugins: {{store: {{config: {{url: a, password: {below}}}}}}}")
    environ = {"TTA__PLUGINS__STORE__CONFIG__PASSWORD": "{p}"}
    assert load(folder, None, environ).decode("store", Store).password == "{p}"


@pytest.mark.parametrize("name", ["TTA_KERNEL__STOP_TIMEOUT", "TTA_KERNEL_STOP_TIMEOUT"])
def test_a_variable_that_lacks_an_underscore_is_no_silence(name: str) -> None:
    what = "is not read, since there are two underscores behind TTA in what is"
    assert load_problem(None, **{name: "3s"}) == f"{name}: {what}; write TTA__KERNEL__STOP_TIMEOUT"


def test_variables_of_somebody_else_are_left_alone() -> None:
    load(None, environ={"TTA_TEST_SERVER": "x", "TTA_PLUGINSFOLDER": "x", "TTA_KERNELS": "x", "TTAKERNEL": "x"})


@pytest.mark.parametrize("name", ["TTA__", "TTA__PLUGINS____URL", "TTA__KERNEL__"])
def test_a_variable_with_an_empty_part_is_a_problem(name: str) -> None:
    problem = load_problem(None, **{name: "x"})
    assert problem.startswith(f"{name}: ")
    assert "TTA__KERNEL__KEY" in problem


def test_a_variable_that_is_no_yaml_is_named_without_its_value() -> None:
    environ = {"TTA__PLUGINS__STORE__CONFIG__RETRIES": "[hunter2"}
    with pytest.raises(ConfigError) as caught:
        load(environ=environ).decode("store", Store)
    assert "TTA__PLUGINS__STORE__CONFIG__RETRIES" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_broken_section_in_a_variable_is_a_problem_of_loading() -> None:
    assert load_problem(None, TTA__PLUGINS__STORE="{").startswith("TTA__PLUGINS__STORE:2:1: cannot")


def test_the_process_s_own_environment_counts_where_none_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TTA__KERNEL__STOP_TIMEOUT", "3s")
    assert load().stop_timeout == 3


def test_the_folder_is_the_argument_else_a_variable_else_config_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("argument", "variable", "here/config"), start=1):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "base.yaml").write_text(f"kernel: {{stop_timeout: {number}}}")
        (folder / "development.yaml").write_text("")
    monkeypatch.chdir(tmp_path / "here")
    environ = {"TTA_CONFIG": str(tmp_path / "variable")}
    assert load(tmp_path / "argument", None, environ).stop_timeout == 1
    assert load(None, None, environ).stop_timeout == 2
    assert load(None, None, {}).stop_timeout == 3


def test_the_environment_is_the_argument_else_a_variable_else_development(write: Write) -> None:
    folder = write(
        one="kernel: {stop_timeout: 1}",
        two="kernel: {stop_timeout: 2}",
        development="kernel: {stop_timeout: 3}",
    )
    assert load(folder, "one", {"TTA_ENV": "two"}).stop_timeout == 1
    assert load(folder, None, {"TTA_ENV": "two"}).stop_timeout == 2
    assert load(folder, None, {}).stop_timeout == 3


def test_the_settings_remember_the_folder_and_the_environment(write: Write) -> None:
    folder = write(testing="")
    source = load(folder, "testing", {}).source
    assert (source.folder, source.environment) == (folder, "testing")


def test_settings_that_a_host_made_have_no_environment() -> None:
    assert not LayeredSettings().source.environment


@pytest.mark.parametrize("by", ["argument", "variable"])
@pytest.mark.parametrize("what", ["missing", "file"])
def test_a_named_folder_that_is_none_is_a_problem(tmp_path: Path, by: str, what: str) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / what
    problem = load_problem(folder) if by == "argument" else load_problem(None, TTA_CONFIG=str(folder))
    assert problem.startswith(f"{folder}: is not a folder that can be read")


def test_a_missing_environment_file_is_a_problem_with_a_suggestion(write: Write) -> None:
    folder = write(production="", staging="")
    problem = load_problem(folder, "prodution")
    assert problem.startswith(f"{folder}/prodution.yaml: there is no such file")
    assert problem.endswith("did you mean 'production'? (development, production, staging)")
    assert load_problem(folder, "zzz").endswith("known: development, production, staging")


def test_a_folder_without_any_environment_s_file_says_that_it_wants_one(write: Write) -> None:
    folder = write()
    (folder / "development.yaml").unlink(missing_ok=True)
    problem = f"{folder}/development.yaml: there is no such file; make it: an empty one is enough"
    assert load_problem(folder) == problem


def test_a_missing_base_is_a_problem_in_a_named_folder(write: Write) -> None:
    folder = write()
    (folder / "base.yaml").unlink()
    assert load_problem(folder).startswith(f"{folder}/base.yaml: cannot be read: No such file")


def test_a_folder_of_that_name_without_base_belongs_to_somebody_else(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(development="kernel: {stop_timeout: 1}")
    (folder / "base.yaml").unlink()
    monkeypatch.chdir(folder.parent)
    assert load(environ={}).stop_timeout == 10


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".", "a\0b", "/etc/x"])
def test_an_environment_s_name_leads_out_of_no_folder(write: Write, name: str) -> None:
    assert "there is no such file" in load_problem(write(), name)


def test_base_is_no_environment(write: Write) -> None:
    problem = load_problem(write(), "base")
    assert "base.yaml: is what every environment shares, and none itself; known: development" in problem


def ship(site: Path, distribution: str, package: str, value: str) -> None:
    (site / package / "settings").mkdir(parents=True)
    (site / package / "__init__.py").write_text("raise RuntimeError('imported')")
    (site / package / "settings/base.yaml").write_text("kernel: {stop_timeout: 99}")
    (site / package / "settings/development.yaml").write_text("")
    info = site / f"{package}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[tta.config]\ndefault = {value}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_a_distribution_may_ship_the_folder_and_is_not_imported_for_it(site: Path) -> None:
    ship(site, "shipping-one", "shipping_one", "shipping_one:settings")
    assert load(environ={}).stop_timeout == 99
    assert "shipping_one" not in sys.modules


def test_config_here_comes_before_what_is_shipped(site: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    ship(site, "shipping-two", "shipping_two", "shipping_two:settings")
    monkeypatch.chdir(write(base="kernel: {stop_timeout: 1}").parent)
    assert load(environ={}).stop_timeout == 1


def test_two_shipped_folders_are_a_problem_that_names_both(site: Path) -> None:
    ship(site, "shipping-three", "shipping_three", "shipping_three:settings")
    ship(site, "shipping-four", "shipping_four", "shipping_four:settings")
    problem = load_problem(None)
    assert "'shipping-three'" in problem
    assert "'shipping-four'" in problem
    assert "TTA_CONFIG" in problem


@pytest.mark.parametrize("value", ["shipping_five:nothing", "shipping_nowhere:settings"])
def test_a_shipped_folder_that_is_not_there_is_a_problem(site: Path, value: str) -> None:
    ship(site, "shipping-five", "shipping_five", value)
    assert "is not a folder that can be read" in load_problem(None)
